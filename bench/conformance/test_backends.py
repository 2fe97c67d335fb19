"""Which backends are found, what is said of the missing ones, and how batches travel.

`pytest -m fast -k backends`
"""

import platform
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bench.identity import ROOT
from impl import backend
from impl.backend import BackendError, Found, Missing, discover, load, resolve
from impl.init import init
from impl.spec import preset

pytestmark = pytest.mark.fast


@pytest.fixture
def without(monkeypatch):
    """Make a framework's import fail as it does where nobody installed it."""

    def forget(framework):
        for module in [name for name in sys.modules if name.split(".")[0] == framework]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, framework, None)
        monkeypatch.setitem(sys.modules, f"{framework}.core", None)

    return forget


def present():
    return [name for name, state in discover().items() if isinstance(state, Found)]


def test_every_backend_is_either_found_or_missing_with_a_command():
    states = discover()
    assert tuple(states) == backend.ORDER
    missing = [state for state in states.values() if isinstance(state, Missing)]
    assert all(state.reason and state.install.startswith("pip install") for state in missing)
    assert not (isinstance(states["mlx-metal"], Found) and isinstance(states["mlx-cuda"], Found))


@pytest.mark.parametrize(("gone", "left"), [("mlx", "torch"), ("torch", "mlx")])
def test_one_framework_missing_does_not_hide_the_other(without, gone, left):
    before = discover()
    without(gone)
    for name, state in discover().items():
        if name.startswith(left):
            assert state == before[name]
        else:
            assert isinstance(state, Missing)
    with pytest.raises(BackendError, match=rf"{gone}-cpu.*not installed.*pip install"):
        resolve(f"{gone}-cpu")


def test_no_framework_at_all_is_an_error_that_says_what_to_install(without):
    without("mlx")
    without("torch")
    with pytest.raises(BackendError, match=r"available: none.*pip install"):
        resolve("auto")


def test_a_framework_that_does_not_load_is_missing_with_its_message(monkeypatch):
    from impl.torch import backend as torch_backend

    def broken(name):
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(torch_backend, "obstacle", broken)
    assert "libtorch_cpu.so" in discover()["torch-cpu"].reason


def test_a_mistake_of_ours_is_not_filed_under_not_installed(monkeypatch):
    from impl.torch import backend as torch_backend

    def mistaken(name):
        raise ModuleNotFoundError("No module named 'impl.nope'", name="impl.nope")

    monkeypatch.setattr(torch_backend, "obstacle", mistaken)
    with pytest.raises(ModuleNotFoundError, match=r"impl\.nope"):
        discover()


def test_an_unknown_backend_is_named_with_the_known_ones():
    with pytest.raises(BackendError, match=r"'jax-tpu' is unknown; known: auto, mlx, mps, mlx-metal"):
        resolve("jax-tpu")


def test_auto_takes_the_first_in_order_and_the_variable_chooses(monkeypatch):
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    assert resolve() == resolve("auto") == present()[0]
    monkeypatch.setenv(backend.VARIABLE, present()[-1])
    assert resolve() == present()[-1]
    monkeypatch.setenv(backend.VARIABLE, "nowhere")
    with pytest.raises(BackendError, match="nowhere"):
        resolve()


def test_asking_for_one_backend_does_not_look_for_the_others(monkeypatch):
    name = present()[-1]
    for module in {id(m): m for m in backend._declared().values()}.values():
        if name.split("-")[0] != module.FRAMEWORK:
            monkeypatch.setattr(module, "obstacle", lambda name: pytest.fail(f"looked for {name}"))
    assert resolve(name) == name


@pytest.fixture(params=backend.ORDER)
def opened(request):
    if request.param not in present():
        pytest.skip(f"{request.param} is not there: {discover()[request.param].reason}")
    return load(request.param)


def test_arrays_come_back_as_they_went(opened):
    tokens = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert np.array_equal(opened.numpy(opened.array(tokens)), tokens)
    values = np.array([1.0, 1 + 2**-9, 3.0], np.float32)
    assert np.array_equal(opened.numpy(opened.array(values)), values)
    rounded = opened.numpy(opened.array(values, "bfloat16"))
    assert rounded.dtype == np.float32 and np.array_equal(rounded, [1.0, 1.0, 3.0])


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_an_array_is_a_copy_of_any_shape(opened, shape, dtype):
    """One number too; another dtype takes the way of another device."""
    values = np.full(shape, 1.5, np.float32)
    held = opened.array(values, dtype)
    values[...] = 7.0
    assert np.array_equal(opened.numpy(held), np.full(shape, 1.5)) and tuple(held.shape) == shape


def test_a_backend_describes_itself(opened):
    assert opened.name.startswith(opened.framework)
    assert opened.default_policy() in ("float32", "bfloat16")
    assert opened.versions()[opened.framework]
    assert opened.memory_method
    opened.reset_peak_memory()
    held = opened.array(np.ones(2**20, np.float32))
    opened.sync(held)
    assert opened.peak_memory_bytes() >= held.nbytes


def prefetch(opened, batches, depth=2):
    from importlib import import_module

    return import_module(f"impl.{opened.framework}.loader").prefetch(batches, opened, depth)


def batch(i):
    return np.full((1, 2), i), np.full((1, 2), i + 1), i


def test_the_loader_keeps_order_and_ends(opened):
    batches = prefetch(opened, map(batch, range(7)))
    got = [(opened.numpy(x)[0, 0], opened.numpy(y)[0, 0], epoch) for x, y, epoch in batches]
    assert got == [(i, i + 1, i) for i in range(7)]


def test_the_loader_leaves_the_beginning_of_a_step_to_the_loop(opened):
    """The next batch is not begun as soon as there is room for it: both would want the interpreter."""
    drawn_s = []

    def endless():
        while True:
            drawn_s.append(time.monotonic())
            yield batch(0)

    batches = prefetch(opened, endless(), depth=1)
    next(batches)
    time.sleep(0.2)  # the step
    known, start_s = len(drawn_s), time.monotonic()
    next(batches)
    while len(drawn_s) == known and time.monotonic() < start_s + 5:
        time.sleep(0.001)
    batches.close()
    assert drawn_s[known] - start_s >= 0.009


def test_what_the_producer_raises_arrives_after_its_batches(opened):
    def failing():
        yield batch(0)
        raise RuntimeError("shard 3 is truncated")

    batches = prefetch(opened, failing())
    assert next(batches)[2] == 0
    with pytest.raises(RuntimeError, match="shard 3 is truncated"):
        next(batches)


def test_closing_the_loader_ends_its_thread(opened):
    def endless():
        while True:
            yield batch(0)

    before = threading.active_count()
    batches = prefetch(opened, endless())
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_every_tensor_of_the_init_draws_from_its_own_stream():
    from dataclasses import replace

    model = preset("tiny").model
    params, deeper = init(model, 1), init(replace(model, depth=model.depth + 2), 1)
    assert {name: value.shape for name, value in params.items()} == model.shapes()
    assert all(np.array_equal(value, deeper[name]) for name, value in params.items() if name not in (
        "resid_lambdas", "x0_lambdas"))  # fmt: skip
    assert not np.array_equal(params["lm_head.weight"], init(model, 2)["lm_head.weight"])
    limit = (3 / model.width) ** 0.5
    queries = params["transformer.h.0.attn.c_q.weight"]
    assert 0.99 * limit < np.abs(queries).max() <= limit
    assert abs(params["transformer.wte.weight"].std() - 1) < 0.02
    assert not params["transformer.h.0.mlp.c_proj.weight"].any()


REUSED = """
import ctypes, resource, sys
from impl import backend
backend.load(sys.argv[1])
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes, libc.memset.argtypes = (ctypes.c_void_p,), (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
for _ in range(2):
    before, size = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, 2**26
    block = libc.malloc(size)
    libc.memset(block, 1, size)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("name", ["torch-cpu", "mlx-cpu"])
def test_a_cpus_freed_memory_is_used_again(name):
    """Else its rows take up to three times as long in one process as in another: 64 MiB are 32 faults or more."""
    if not isinstance(discover()[name], Found):
        pytest.skip(f"{name} is not there")
    done = subprocess.run([sys.executable, "-c", REUSED, name], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16

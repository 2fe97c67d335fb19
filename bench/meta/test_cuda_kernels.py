"""The CUDA kernels of impl/mlx, run as they are on a CPU, agree with the oracle; every known mistake in them is caught.

`pytest -m meta bench/meta/test_cuda_kernels.py`
"""

import re
from pathlib import Path

import numpy as np
import pytest

from bench import check
from bench.check import agree
from bench.conformance.test_gpt import ask_grads, ask_loss, ask_model, inputs_of
from bench.meta.cuda_mistakes import MISTAKES
from bench.meta.emulated_cuda import Emulator, Fault, obstacle
from bench.strategies import recipe_of
from bench.subject import load
from impl.spec import Model

pytestmark = pytest.mark.meta
IMPL = Path(__file__).parents[2] / "impl/mlx"

# Small enough that every kernel has several blocks, the last not full, of several warps, and goes round more than once.
PATCHES = {
    "impl.mlx.gpt.BLOCK": 3,
    "impl.mlx.gradient_kernel.BLOCKS": 2,
    "impl.mlx.gradient_kernel.THREADS": 128,
    "impl.mlx.logit_kernel.THREADS": 64,
    "impl.mlx.norm_kernel.WARPS": 4,
    "impl.mlx.rotary_kernel.WARPS": 4,
}
SIZES = {"gate_channels": 6, "window_pattern": "S"}  # windows whose blocks of queries share keys
MODELS = {
    "odd": Model(sequence_len=13, vocab_size=101, depth=2, width=34, heads=1, kv_heads=1, **SIZES),
    "packs of 4": Model(sequence_len=14, vocab_size=64, depth=2, width=12, heads=1, kv_heads=1, **SIZES),
    "packs of 8": Model(sequence_len=13, vocab_size=520, depth=2, width=144, heads=2, kv_heads=1, **SIZES),
}
FORWARD = {"take_rows", "rms_norm", "rotate_and_norm", "joined"}
BACKWARD = {
    *("cross_entropy", "scaled_sum_back", "scaled_rows_back", "add_rows", "rms_norm_back", "rotate_and_norm_back")
}
QUESTIONS = {
    "activations": (lambda recipe: ask_model(recipe, "activations"), FORWARD),
    "nats": (lambda recipe: ask_model(recipe, "nats"), FORWARD),
    "loss": (ask_loss, FORWARD | BACKWARD),
    "grads": (ask_grads, FORWARD | BACKWARD),
}


@pytest.fixture(scope="session")
def objects(tmp_path_factory) -> Path:
    """Where compiled kernels are kept."""
    if why := obstacle():
        pytest.skip(why)
    return tmp_path_factory.mktemp("objects")


@pytest.fixture
def emulate(pytestconfig, objects, monkeypatch):
    """A function that puts an Emulator in CUDA's place: -> subject, emulator."""
    if "mlx-cpu" not in pytestconfig.backends:
        pytest.skip("kernels are emulated between mlx-cpu's own")
    import mlx.core as mx

    device = mx.default_device()
    subject = load("mlx-cpu")
    subject.name = "mlx-cpu with CUDA's kernels"

    def emulate(patches=PATCHES, **options):
        emulator = Emulator(objects, **options)
        for name, value in patches.items():
            monkeypatch.setattr(name, value)
        monkeypatch.setattr("impl.mlx.cuda.launch", emulator.launch)
        monkeypatch.setattr("impl.mlx.cuda.serves", emulator.serves)
        return subject, emulator

    yield emulate
    mx.set_default_device(device)


def ask(subject, quantity, name):
    """Hold one answer of a model at bfloat16 to the oracle's."""
    recipe, inputs = recipe_of(MODELS[name]), inputs_of(MODELS[name], 5)
    assert -1 in inputs["targets"]
    agree(subject, quantity, "bfloat16", inputs, QUESTIONS[quantity][0](recipe), key=(recipe,))


@pytest.mark.parametrize("backwards", [False, True], ids=["first to last", "last to first"])
@pytest.mark.parametrize("quantity", QUESTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_models_match_oracle(emulate, name, quantity, backwards):
    subject, emulator = emulate(backwards=backwards)
    ask(subject, quantity, name)
    assert {kernel for kernel, _ in emulator.launches} == QUESTIONS[quantity][1]


def test_older_gpus_match_oracle(emulate):
    """Those that add one number at a time."""
    subject, _ = emulate(arch=800)
    ask(subject, "grads", "packs of 4")


def test_blocks_as_shipped_match_oracle(emulate):
    """But for their number where it does not follow from the sizes: half a million threads would take seconds."""
    subject, _ = emulate(patches={"impl.mlx.gradient_kernel.BLOCKS": 2})
    ask(subject, "grads", "odd")


def test_every_branch_is_asked_for(emulate):
    """Each kernel that the code launches, single elements and packs, one round and several."""
    subject, emulator = emulate()
    for model in MODELS.values():
        ask_grads(recipe_of(model))(subject, inputs_of(model, 5), "bfloat16")
    named = {name for path in IMPL.glob("*.py") for name in re.findall(r'launch\(\s*"(\w+)"', path.read_text("utf-8"))}
    assert named == FORWARD | BACKWARD
    widths = {(kernel, constants["WIDTH"]) for kernel, constants in emulator.launches if "WIDTH" in constants}
    most = {"scaled_rows_back": 4, "add_rows": 4}
    assert widths == {(k, w) for k in named if "rotate" not in k for w in (1, most.get(k, 8))}
    of = {key: {c[key] for _, c in emulator.launches if key in c} for key in ("EACH", "HALF")}
    assert of == {"EACH": {1, 2}, "HALF": {6, 17, 36}}
    assert {("rotate_and_norm", "x"), ("rotate_and_norm_back", "dy"), ("joined", "x1")} <= emulator.strided


def same_in_layout(subject, how):
    """The kernels that take strides answer to arrays spread in memory as to the same in a row."""
    import mlx.core as mx

    from impl.mlx import gradient_kernel, rotary_kernel

    rng = np.random.default_rng(0)
    x, dy, one, other = (mx.array(rng.standard_normal((2, n, 3, 16)), mx.bfloat16) for n in (9, 9, 5, 7))
    cos, sin = (mx.array(rng.standard_normal((9, 8)), mx.bfloat16) for _ in range(2))

    def answers(x, dy, one, other):
        turned, back = mx.vjp(lambda x: rotary_kernel.rotated_norm(x, cos, sin, 1e-6), [x], [dy])
        return *turned, *back, gradient_kernel.joined([one, other], [range(5), range(2, 9)], x.shape)

    spread = (subject._spread(array, how, "bfloat16") for array in (x, dy, one, other))
    for right, answer in zip(answers(x, dy, one, other), answers(*spread), strict=True):
        np.testing.assert_array_equal(subject.backend.numpy(answer), subject.backend.numpy(right))


@pytest.mark.parametrize("eps", [1.0, 4.0])
def test_eps_counts(emulate, eps):
    """What the models have is below bfloat16's grid. One row of norms, and of heads that are not turned."""
    import mlx.core as mx

    from impl.mlx import norm_kernel, rotary_kernel

    emulate()
    x = mx.array(np.random.default_rng(0).standard_normal((2, 3, 1, 16)), mx.bfloat16)
    cos, sin = mx.ones((3, 8), mx.bfloat16), mx.zeros((3, 8), mx.bfloat16)
    right = np.array(x.astype(mx.float32))
    right = right / np.sqrt((right**2).mean(-1, keepdims=True) + eps)
    for y in (norm_kernel.rms_norm(x, eps), rotary_kernel.rotated_norm(x, cos, sin, eps)):
        np.testing.assert_allclose(np.array(y.astype(mx.float32)), right, rtol=2**-8)


def test_rows_too_wide_for_registers_are_mlxs_own(emulate):
    import mlx.core as mx

    from impl.mlx import gpt, norm_kernel

    _, emulator = emulate()
    for wider in (0, 1):
        gpt.rms_norm(mx.ones((1, norm_kernel.MOST + wider), mx.bfloat16), 1e-6)
    assert len(emulator.launches) == 1


def test_kernels_of_other_texts_have_other_names(monkeypatch):
    """By which alone MLX before 0.32.1 knows those that it has compiled."""
    mx = pytest.importorskip("mlx.core")
    from impl.mlx import cuda

    named = []
    monkeypatch.setattr(mx.fast, "cuda_kernel", lambda name, *_, **__: named.append(name), raising=False)
    cuda._kernel.cache_clear()
    for eps in (1e-6, 1e-5, 1e-6):
        cuda._kernel("norm", ("x",), ("y",), cuda.literal("EPS", eps), True)
    cuda._kernel.cache_clear()
    assert len(set(named)) == 2 and all(name.startswith("norm_") and name.isidentifier() for name in named)


@pytest.mark.parametrize("how", ["transposed", "every other"])
def test_strides_are_followed(emulate, how):
    subject, emulator = emulate()
    same_in_layout(subject, how)
    assert {("rotate_and_norm", "x"), ("rotate_and_norm_back", "dy"), ("joined", "x0")} <= emulator.strided


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(emulate, monkeypatch, name):
    mistake = MISTAKES[name]
    subject, _ = emulate()
    monkeypatch.setattr(check, "diagnosis", lambda *arguments: "not diagnosed")
    mistake.make(monkeypatch)
    with pytest.raises(AssertionError) as caught:
        if mistake.asked == "layouts":
            same_in_layout(subject, "every other")
        for quantity in ("loss", "grads") if mistake.asked in MODELS else ():
            ask(subject, quantity, mistake.asked)
    assert "does not compile" not in str(caught.value)


def test_packs_that_do_not_fit_are_caught(emulate, monkeypatch):
    """Not by numbers, which are right: a GPU refuses such an address."""
    subject, _ = emulate()
    monkeypatch.setattr("impl.mlx.cuda.width", lambda size, most: 2)
    ask(subject, "activations", "odd")
    monkeypatch.setattr("impl.mlx.cuda.width", lambda size, most: 4)
    with pytest.raises(Fault, match="misaligned"):
        ask(subject, "activations", "odd")


def launched(objects, source, backwards=False):
    """What a kernel of one block of 64 threads leaves in `y`, given 64 ones as `x`."""
    read, written = {"x": np.ones(64, np.float32)}, {"y": np.zeros(64, np.float32)}
    types = dict.fromkeys("xy", "float32")
    return Emulator(objects, backwards=backwards).run("little", source, types, read, written, {}, 1, 64)["y"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("y[threadIdx.x + 1] = 0;", "writes outside y"),
        ("y[int(threadIdx.x) - 1] = 0;", "writes outside y"),
        ("const_cast<float*>(x)[threadIdx.x] = 0;", "writes into its input x"),
        ("if (threadIdx.x < 32) __syncthreads();", "never come"),
        ("if (threadIdx.x > 3) y[0] = __shfl_xor_sync(~0u, 1.0f, 2);", "never come"),
        ("*reinterpret_cast<float4*>(y + 1) = make_float4(0, 0, 0, 0);", "misaligned"),
        ("__shared__ float z[64]; for (int i = 0; i <= 64; ++i) z[i] = x[0]; y[0] = z[1];", "outside its array"),
        ("y[0] = nothing;", "does not compile"),
    ],
)
def test_faults_are_seen(objects, source, reason):
    with pytest.raises(Fault, match=reason):
        launched(objects, source)


@pytest.mark.parametrize(
    "source",
    [
        "if (threadIdx.x < 63) y[threadIdx.x] = x[threadIdx.x];",
        "y[threadIdx.x] = x[threadIdx.x + 1];",
        "y[threadIdx.x] = x[int(threadIdx.x) - 1];",
        "__shared__ float z[64]; if (threadIdx.x) z[threadIdx.x] = 1; y[threadIdx.x] = z[threadIdx.x];",
    ],
    ids=["not written", "read behind", "read before", "shared, not written"],
)
def test_what_nobody_wrote_is_not_a_number(objects, source):
    assert np.isnan(launched(objects, source)).sum() == 1


@pytest.mark.parametrize("backwards", [False, True])
def test_a_missing_barrier_is_seen_in_one_order(objects, backwards):
    """Warp 1 reads what warp 0 wrote: right only because warp 0 went first, and wrong where it went last."""
    source = "__shared__ float z[64]; z[threadIdx.x] = x[0]; BARRIER y[threadIdx.x] = z[threadIdx.x % 32];"
    assert np.isnan(launched(objects, source.replace("BARRIER", ""), backwards=backwards)).any() == backwards
    assert (launched(objects, source.replace("BARRIER", "__syncthreads();"), backwards=backwards) == 1).all()

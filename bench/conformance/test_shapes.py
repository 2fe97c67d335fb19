"""Kernels at the shapes where frameworks were found wrong: large, just past a power of two, odd, strided, changing.

A large input repeats few rows with a prime period, so that the oracle needs only these, while every row is looked at.
`pytest -m fast bench/conformance/test_shapes.py`; the largest on a CPU by `-m deep`.
"""

import numpy as np
import pytest

from bench.check import agree
from bench.conformance.test_ops import ask_op, normal
from bench.hardware import detect
from bench.oracle import Oracle

PERIOD = 61  # rows; no tile, block or power of two is a multiple
EDGE = 2**15  # where 16-bit counters and grids end
VOCAB = 8209  # a prime
EPS = 1.1920929e-7
fast = pytest.mark.fast


def repeated(x, rows: int):  # (n, ...) -> (rows, ...)
    """The rows of `x` over and over."""
    return x[np.arange(rows) % len(x)]


def differing(answer, period: int):  # (rows, ...) -> 2 x (period, ...)
    """The first answer to each row, and of its other answers, which should be the same, the one furthest from it."""
    rows, first = np.arange(len(answer)), answer[:period]
    with np.errstate(invalid="ignore"):  # what is not finite is furthest
        off = np.abs(answer - first[rows % period]).reshape(len(answer), -1).max(axis=1)
    off = np.nan_to_num(off, nan=np.inf)
    return first, answer[[rows[i::period][np.argmax(off[i::period])] for i in range(len(first))]]


def ask_rows(name: str, rows: tuple[int, ...], **attrs):
    """`name` over each number of rows made of those of "x"; any other input is as it is, or repeated as "targets"."""

    def ask(subject, inputs, policy):
        x, more = inputs["x"], {key: value for key, value in inputs.items() if key != "x"}

        def answer(count):
            grown = {key: repeated(value, count) if key == "targets" else value for key, value in more.items()}
            return subject.op(name, (repeated(x, count), *grown.values()), attrs, policy)

        if type(subject) is Oracle:  # one by one, rows need no repetition; a mutant of it is asked for all
            truth = answer(len(x))
            pairs = [(truth[:count], truth[:count]) for count in rows]
        else:
            pairs = [differing(answer(count), len(x)) for count in rows]
        named = zip(rows, pairs, strict=True)
        return {part: x for count, pair in named for part, x in zip((f"{count}", f"{count} again"), pair, strict=True)}

    return ask


def signs(seed: int, *shape: int) -> np.ndarray:
    """Plus and minus one: their squares add up exactly in any order."""
    return np.random.default_rng(seed).choice(np.float32([-1, 1]), shape)


# Large


@fast
def test_products_of_few_and_many_rows(subject, policy):
    """M from 1 past 8, where one release of MLX took to a kernel that was wrong, to 1024 (mlx#3585, mlx#3586)."""
    inputs = {"x": normal(0, PERIOD, 2048), "b": normal(1, 2048, 512)}
    rows = (1, 7, 8, 9, 16, 17, 33, 1024)
    agree(subject, "large_matmul", policy, inputs, ask_rows("matmul", rows), key=rows)


def ask_past(limit: int):
    """Rows of a product whose `limit` bytes, or elements, an index of 32 bits cannot count."""

    def ask(subject, inputs, policy):
        x, b = inputs["a"], inputs["b"]
        itemsize = 1 if limit == ELEMENTS else {"bfloat16": 2}.get(policy, 4)
        count = 2**31 // (itemsize * b.shape[1]) + PERIOD
        chosen = np.r_[0:PERIOD] if type(subject) is Oracle else np.r_[count - PERIOD : count]
        a = x if type(subject) is Oracle else repeated(np.roll(x, count % PERIOD, axis=0), count)
        return {"": subject.op("matmul_rows", (a, b, chosen), {}, policy)}

    return ask


BYTES, ELEMENTS = 0, 1
GIB = 2**30


def require_room(backend: str, asked_by: str, gib: int) -> None:
    """A GPU is asked by `-m fast`, a CPU by `-m deep`; skips where memory is short."""
    if backend.endswith("-cpu") != (asked_by == "deep"):
        pytest.skip("a GPU is asked by `-m fast`, a CPU by `-m deep`")
    machine = detect(backend)
    memory = machine.memory_bytes if backend.endswith("-cpu") else machine.gpu_memory_bytes or machine.memory_bytes
    if (memory or 0) < gib * GIB:
        pytest.skip(f"{(memory or 0) / GIB:.0f} GiB of memory are less than {gib}")


@pytest.mark.parametrize("asked_by", [pytest.param("fast", marks=fast), pytest.param("deep", marks=pytest.mark.deep)])
@pytest.mark.parametrize("limit", [BYTES, ELEMENTS], ids=["bytes", "elements"])
def test_logits_past_two_to_the_31(subject, policy, limit, asked_by):
    """Vocabulary x rows, of which the last are looked at."""
    require_room(subject.name, asked_by, 8 if limit == BYTES else 40)
    inputs = {"a": normal(0, PERIOD, 16), "b": normal(1, 16, VOCAB)}
    agree(subject, "matmul", policy, inputs, ask_past(limit), key=(limit,))


@fast
def test_cross_entropy_past_two_to_the_31(subject, policy):
    """As many bytes of float32 logits; what we ship takes them in pieces, which a CPU would need minutes for."""
    require_room(subject.name, "fast", 8)
    rows = (2**31 // (4 * VOCAB) + PERIOD,)
    targets = np.random.default_rng(2).integers(-1, VOCAB, PERIOD)
    inputs = {"x": normal(3, PERIOD, 16), "weight": normal(4, VOCAB, 16), "targets": targets}
    agree(subject, "cross_entropy", policy, inputs, ask_rows("row_nats", rows, softcap=15.0), key=rows)


# Just past a power of two

NEAR_EDGE = (EDGE - 1, EDGE, EDGE + 1)


@fast
def test_norms_of_many_rows(subject, policy):
    ask = ask_rows("rms_norm", NEAR_EDGE, eps=EPS)
    agree(subject, "rms_norm", policy, {"x": normal(2, PERIOD, 24)}, ask, key=("rows",))


@fast
@pytest.mark.parametrize("width", NEAR_EDGE)
def test_norms_of_wide_rows(subject, policy, width):
    inputs = {"x": signs(3, 3, width) * np.float32(0.75)}
    agree(subject, "rms_norm", policy, inputs, ask_op("rms_norm", eps=EPS), key=("width",))


@fast
def test_cross_entropy_of_many_rows(subject, policy):
    targets = np.random.default_rng(4).integers(-1, 37, PERIOD)
    inputs = {"x": normal(5, PERIOD, 8), "weight": normal(6, 37, 8), "targets": targets}
    agree(subject, "cross_entropy", policy, inputs, ask_rows("row_nats", NEAR_EDGE, softcap=15.0), key=("rows",))


@fast
@pytest.mark.parametrize("vocab", [EDGE - 1, EDGE + 1])
def test_cross_entropy_of_a_wide_vocabulary(subject, policy, vocab):
    """Nearly all logits are zero, so that the sum of their exponentials is a whole number in any order."""
    targets = np.array([0, vocab - 1, -1, EDGE - 2])
    weight = np.zeros((vocab, 8), np.float32)
    weight[targets] = normal(8, 4, 8)
    inputs = {"x": normal(7, 4, 8), "weight": weight, "targets": targets}
    agree(subject, "cross_entropy", policy, inputs, ask_op("row_nats", softcap=15.0), key=("vocab",))


@fast
@pytest.mark.parametrize("rows", NEAR_EDGE)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_sums_of_integers_are_exact(subject, rows, axis):
    """In any order of summation: float32 holds every partial sum."""
    x = np.random.default_rng(rows).integers(-3, 4, (rows, 5)).astype(np.float32)
    for matrix in (x, np.ascontiguousarray(x.T)):
        found = subject.op("sum", (matrix,), {"axis": axis}, "float32")
        np.testing.assert_array_equal(found, matrix.sum(axis, dtype=np.float64), strict=False)


@fast
@pytest.mark.parametrize("tokens", NEAR_EDGE)
def test_rope_of_many_positions(subject, policy, tokens):
    """Each position has its own angle, so that nothing repeats; those at both ends are compared."""

    def ask(subject, inputs, policy):
        answer = subject.op("rope", (np.tile(inputs["x"], (1, tokens, 1, 1)),), {"base": 10_000.0}, policy)
        return {"start": answer[:, :PERIOD], "end": answer[:, -PERIOD:]}

    agree(subject, "rope", policy, {"x": normal(9, 1, 1, 1, 16)}, ask, key=(tokens,))


# Odd and strided


@fast
@pytest.mark.parametrize("size", [(127, 251, 61), (3, 509, 131), (257, 1, 17), (31, 33, 1)], ids=str)
def test_products_of_odd_sizes(subject, policy, size):
    m, k, n = size
    agree(subject, "matmul", policy, {"a": normal(10, m, k), "b": normal(11, k, n)}, ask_op("matmul"))


@fast
@pytest.mark.parametrize(("tokens", "window"), [(131, 130), (131, 37), (257, 256)])
def test_attention_over_a_prime_number_of_tokens(subject, policy, tokens, window):
    inputs = {name: normal(seed, 1, tokens, 1, 40) for seed, name in enumerate("qkv")}
    agree(subject, "attention", policy, inputs, ask_op("attention", window=window), key=(window,))


STRIDED = {
    "matmul": ({"a": normal(12, 33, 65), "b": normal(13, 65, 18)}, {}),
    "rms_norm": ({"x": normal(14, 9, 96)}, {"eps": EPS}),
    "rope": ({"x": normal(15, 2, 7, 3, 16)}, {"base": 10_000.0}),
    "attention": ({name: normal(16 + i, 2, 19, 2, 16) for i, name in enumerate("qkv")}, {"window": 5}),
    "cross_entropy": (
        {"x": normal(19, 21, 16), "weight": normal(20, 43, 16), "targets": np.arange(21)},
        {"softcap": 15.0},
    ),
}


@fast
@pytest.mark.parametrize("how", ["transposed", "every other"])
@pytest.mark.parametrize("name", STRIDED)
def test_inputs_that_are_not_contiguous(subject, policy, name, how):
    inputs, attrs = STRIDED[name]
    agree(subject, name, policy, inputs, ask_op("strided", op=name, how=how, **attrs), key=(name, how))


# Changing

CHANGES = {
    "matmul": ([(65, 128, 33), (512, 256, 7)], lambda m, k, n: (normal(21, m, k), normal(22, k, n)), {}),
    "rms_norm": ([(7, 96), (513, 1000)], lambda *shape: (normal(23, *shape),), {"eps": EPS}),
    "sum": ([(3, 70), (700, 3)], lambda *shape: (normal(24, *shape),), {"axis": 1}),
    "rope": ([(1, 9, 2, 8), (2, 300, 1, 64)], lambda *shape: (normal(25, *shape),), {"base": 10_000.0}),
    "attention": (
        [(2, 33, 2, 16), (1, 130, 1, 64)],
        lambda *shape: tuple(normal(26 + i, *shape) for i in range(3)),
        {"window": 20},
    ),
    "row_nats": (
        [(5, 16, 37), (300, 8, 1000)],
        lambda n, c, v: (normal(29, n, c), normal(30, v, c), np.arange(n) % v),
        {"softcap": 15.0},
    ),
}


@fast
@pytest.mark.parametrize("name", CHANGES)
def test_a_shape_gives_the_same_after_another(subject, policy, name):
    """What was kept for one shape, a compiled kernel or a workspace, must not serve another."""
    shapes, make, attrs = CHANGES[name]
    first, other = (make(*shape) for shape in shapes)
    answers = [subject.op(name, arrays, attrs, policy) for arrays in (first, first, other, first)]
    if not np.array_equal(answers[0], answers[1]):
        pytest.skip("the same shape twice differs already: the fingerprint reports it")
    np.testing.assert_array_equal(answers[3], answers[0])

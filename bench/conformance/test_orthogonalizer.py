"""What the orthogonaliser must do whatever the precision: keep signs, scales, order and rotations, stay off the cliff.

The comparator is inconclusive where rounding is amplified, as in bfloat16 at low rank; what belongs to the dominant
singular directions is not, and is compared apart. `pytest -m fast -k orthogonalizer`
"""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.check import agree
from bench.newton_schulz.design import ORTHOGONALIZERS
from bench.newton_schulz.spectra import PLAIN, matrix
from bench.strategies import SEEDS, SPECTRA, matrix_of
from bench.yardstick import rescaled
from impl.spec import POLAR_EXPRESS

pytestmark = pytest.mark.fast

# No vectors: their update is one number, which hangs on the last bit of the norm by a gain of 300, as near to the cliff
# as rank 1 is; the yardstick's own sum is often exact there. They have a test of their own.
SHAPES = ((24, 24), (48, 16), (16, 48), (64, 24))
DOMINANT = 0.03  # of the largest singular value: lifted in all five steps by no more than rounding can follow
POWERS = (20, 45, 70, 95)  # of two: far above eps, and on both sides of where a float32 square overflows
SCALES = (1e-30, 1e-15, 1e-6, 1e-3, 1e3, 1e15, 1e30)
MANY = (128, 512)  # elements enough to fill a bfloat16 accumulator, 256 times over
LARGE_SHAPES = ((512, 128), (512, 512), (256, 1024))


def same(x, rng):
    return x, lambda update: update


def transposed(x, rng):
    return x.T.copy(), lambda update: update.T


def permuted(x, rng):
    rows, columns = (rng.permutation(size) for size in x.shape)
    return x[rows][:, columns], lambda update: update[np.argsort(rows)][:, np.argsort(columns)]


def rotated(x, rng):
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in x.shape)
    return (left @ x @ right).astype(np.float32), lambda update: left.T @ update @ right.T


RELATIONS = {"transposed": transposed, "permuted": permuted, "rotated": rotated}


@lru_cache(maxsize=512)
def dominant(content: bytes, shape):  # of (m, n) float32 -> (m, k), (k, n)
    """Singular directions of the larger singular values; kept for a test's dozen examples of 32 draws each."""
    x = np.frombuffer(content, np.float32).reshape(shape).astype(np.float64)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    kept = values >= DOMINANT * values[0]
    return left[:, kept], right[kept]


def ask_related(orthogonalizer, relation, seed=0):
    """The question "what is the update of this matrix, asked in another way": the whole, and its dominant part."""

    def ask(subject, inputs, policy):
        x = inputs["matrix"]
        moved, back = relation(x, np.random.default_rng(seed))
        update = back(np.asarray(subject.orthogonalize(moved, orthogonalizer, policy), np.float64))
        if not np.all(np.isfinite(update)) or update.shape != x.shape:
            return {"whole": update, "dominant": update}
        left, right = dominant(x.tobytes(), x.shape)
        return {"whole": update, "dominant": left.T @ update @ right.T}

    return ask


def hold(subject, policy, x, relation=same, orthogonalizer="polar express", seed=0):
    """The subject's update of `x`, asked through `relation`, against the truth."""
    ask = ask_related(ORTHOGONALIZERS[orthogonalizer], relation, seed)
    key = (orthogonalizer, relation.__name__, seed)
    agree(subject, "orthogonalize", policy, {"matrix": x}, ask, key=key, redraw=rescaled)


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
@pytest.mark.parametrize("relation", RELATIONS)
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), spectrum=st.sampled_from(SPECTRA))
def test_update_follows_its_matrix(subject, policy, relation, orthogonalizer, seed, shape, spectrum):
    """Transposing, permuting or rotating the matrix does the same to its update."""
    hold(subject, policy, matrix_of(shape, spectrum, seed), RELATIONS[relation], orthogonalizer, seed)


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), spectrum=st.sampled_from(SPECTRA))
def test_sign_is_kept_exactly(subject, policy, orthogonalizer, seed, shape, spectrum):
    """The polynomial is odd and rounding is symmetric: of -x, the update is the same with the other sign."""
    x, chosen = matrix_of(shape, spectrum, seed), ORTHOGONALIZERS[orthogonalizer]
    positive, negative = (subject.orthogonalize(side, chosen, policy) for side in (x, -x))
    np.testing.assert_array_equal(negative, -np.asarray(positive))


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), spectrum=st.sampled_from(SPECTRA))
def test_powers_of_two_change_nothing(subject, policy, orthogonalizer, seed, shape, spectrum):
    """Where eps is far below the norm, no bit of the update depends on the scale."""
    x, chosen = matrix_of(shape, spectrum, seed), ORTHOGONALIZERS[orthogonalizer]
    updates = [subject.orthogonalize(np.ldexp(x, power), chosen, policy) for power in POWERS]
    for update in updates[1:]:
        np.testing.assert_array_equal(update, updates[0])


@pytest.mark.parametrize("scale", SCALES)
def test_any_scale_is_finite_and_right(subject, policy, scale):
    """Thirty decades up and down; below eps the update fades, as the recipe says."""
    hold(subject, policy, matrix((24, 40), "gaussian", scale=scale))


@pytest.mark.parametrize("spectrum", ["gaussian", "rank 16 + 1e-3", "one huge"])
def test_many_elements_have_the_right_norm(subject, policy, spectrum):
    """65,536 squares: more than a bfloat16 accumulator can count, whose norm sends the low ranks over the cliff."""
    hold(subject, policy, matrix(MANY, spectrum))


def test_zero_stays_zero(subject, policy):
    """Neither NaN nor noise: the gradient of most matrices is zero at the first step."""
    update = subject.orthogonalize(np.zeros((24, 40), np.float32), POLAR_EXPRESS, policy)
    np.testing.assert_array_equal(update, np.zeros((24, 40)))


@pytest.mark.parametrize("shape", [(1, 64), (64, 1), (1, 1)])
def test_one_row_is_scaled(subject, policy, shape):
    """A vector's direction is its own; rank 1 is the nearest to the cliff that a matrix can be."""
    hold(subject, policy, matrix_of(shape, "gaussian", 0))


@pytest.mark.deep
@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
@pytest.mark.parametrize("spectrum", PLAIN)
@pytest.mark.parametrize("shape", LARGE_SHAPES)
def test_large_updates_follow_their_matrix(subject, policy, shape, spectrum, orthogonalizer):
    """The same at the sizes that train."""
    x = matrix(shape, spectrum)
    for relation in (same, *RELATIONS.values()):
        hold(subject, policy, x, relation, orthogonalizer)

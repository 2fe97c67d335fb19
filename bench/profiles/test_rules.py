"""Each profile's rule on constructed data, to the last digit, beside the wrong variant that it must not be.

`pytest -m fast bench/profiles`
"""

import math
from dataclasses import replace
from math import log

import numpy as np
import pytest

from bench.profiles import PROFILES
from bench.profiles.byte_table import SPACE, decoded, of_pieces, raw
from bench.profiles.profile import CHUNK
from impl.data.tokenizer import Tokenizer
from impl.spec import RECIPES, Data, Model, preset

pytestmark = pytest.mark.fast

MERGED = [b"\xe4\xbd", b"\xf0\x9f", b"a\xe4", b"\xff\xfe", "\u4f60".encode(), b" the", b"  ", b" \xe4"]
TOKENIZER = Tokenizer([bytes([i]) for i in range(256)] + MERGED)
BOS, ID = TOKENIZER.bos, {token: i for i, token in enumerate(TOKENIZER.tokens)}
PACKED = [name for name, profile in PROFILES.items() if profile.eval_tokens]


def sized(sequence_len: int, rows: int):
    """A recipe of these windows and this device batch."""
    return replace(
        RECIPES["autoresearch"],
        model=Model(sequence_len=sequence_len),
        data=Data(total_batch=sequence_len * rows, device_batch=rows),
    )


def test_a_part_of_a_character_counts_for_three_bytes_where_tokens_are_decoded():
    """What each has in truth is the wrong variant."""
    parts = [ID[token] for token in (b"\x80", b"\xe4\xbd", b"\xf0\x9f", b"a\xe4", b"\xff\xfe")]
    for name in ("karpathy", "elementalcollision", "autoresearch-mlx"):
        assert PROFILES[name].table(TOKENIZER).size[parts].tolist() == [3, 3, 3, 4, 6]
    assert raw(TOKENIZER).size[parts].tolist() == [1, 2, 2, 2, 2]
    whole = [ID["\u4f60".encode()], ID[b" the"], ID[b"a"]]
    assert decoded(TOKENIZER).size[whole].tolist() == [3, 4, 1]


BOS_BYTES = {"karpathy": 0, "elementalcollision": 0, "pr205": 14, "autoresearch-mlx": 0, "nanochat-mlx": 7}


@pytest.mark.parametrize("name", PROFILES)
def test_the_first_token_of_a_document_counts_for_its_bytes(name):
    assert PROFILES[name].table(TOKENIZER).size[BOS] == BOS_BYTES.get(name, 0)
    ordinary = slice(0, BOS)
    if name in ("pr205", "nanochat-mlx"):
        assert (PROFILES[name].table(TOKENIZER).size[ordinary] == raw(TOKENIZER).size[ordinary]).all()


def test_its_nats_count_only_where_tokens_without_bytes_are_scored():
    """Two windows of "a the<BOS>a": the same nats, divided by four rules; no two rules give one number but the last."""
    targets = np.array([[ID[b"a"], ID[b" the"], BOS, ID[b"a"]]])
    previous = np.array([[BOS, ID[b"a"], ID[b" the"], BOS]])
    nats = np.array([[1.0, 2.0, 40.0, 3.0]])
    expected = {
        "karpathy": 6 / (log(2) * 6),
        "elementalcollision": 6 / (log(2) * 6),
        "autoresearch-mlx": 6 / (log(2) * 6),
        "pr205": 46 / (log(2) * (6 + 14)),
        "nanochat-mlx": 46 / (log(2) * (6 + 7)),
        "parameter-golf": 46 / (log(2) * 6),
    }
    found = {name: profile.bits_per_byte(nats, previous, targets, TOKENIZER) for name, profile in PROFILES.items()}
    assert found == expected
    only_bos = np.array([[BOS]])
    assert PROFILES["autoresearch-mlx"].bits_per_byte(nats[:, :1], only_bos, only_bos, TOKENIZER) == math.inf


PIECES = [
    ("<unk>", "unknown"),
    ("<s>", "control"),
    ("<0x41>", "byte"),
    (f"{SPACE}the", "normal"),
    (f"a{SPACE}b", "normal"),
    (f"{SPACE}{SPACE}x", "normal"),
    (SPACE, "normal"),
    ("\u00e9", "normal"),
    ("unused", "unused"),
]


def test_sentencepiece_pieces_count_for_their_text_and_a_space_for_the_text_before_it():
    table = of_pieces(PIECES, vocab_size=11)
    assert table.size.tolist() == [0, 0, 1, 3, 5, 4, 0, 2, 0, 0, 0]
    assert table.leads.tolist() == [i in (3, 5, 6) for i in range(11)]
    assert table.boundary.tolist() == [i in (0, 1, 8, 9, 10) for i in range(11)]
    previous, targets = np.array([1, 3, 2, 9, 7]), np.array([3, 3, 6, 6, 2])
    assert table.of(previous, targets).tolist() == [3, 4, 1, 0, 1]
    at_both_places = table.size + table.leads  # known to inflate a leaderboard's bytes: the space counts twice
    assert (at_both_places[targets] + (table.leads[targets] & ~table.boundary[previous])).tolist() == [4, 5, 2, 1, 1]


def test_our_tokens_are_spelled_as_sentencepiece_would():
    """The bytes of a text are its own, but for a space after BOS and for all but the first in a row of them."""
    table = PROFILES["parameter-golf"].table(TOKENIZER)
    names = (b"a", b" the", b"  ", b" ", b"\xe4\xbd", b"\x80", b" \xe4")
    assert table.size[[ID[name] for name in names]].tolist() == [1, 3, 3, 0, 2, 1, 2]
    assert table.leads[[ID[name] for name in names]].tolist() == [False, True, True, True, False, False, False]

    def counted(text: str) -> int:
        (ids,) = TOKENIZER.encode([text])
        return int(table.of(ids[:-1], ids[1:]).sum())

    for text in ("a the cat", "\u4f60 \u4f60 the", "na\u00efve \U0001f600"):
        assert counted(text) == len(text.encode())
    assert counted(" the cat") == len(" the cat") - 1
    assert counted("a  \n") == len("a  \n") + 2


ROWS = [  # by hand: floor(tokens / (rows at a time x T)) steps of as many rows
    ("karpathy", 2048, 128, 80 * 128),
    ("karpathy", 2048, 12, 853 * 12),  # 4 rows are left out: the device batch does not divide
    ("elementalcollision", 2048, 16, 160 * 16),
    ("pr205", 2048, 16, 640 * 16),
    ("autoresearch-mlx", 2048, 16, 3 * 256),
    ("autoresearch-mlx", 512, 16, 12 * 256),
    ("autoresearch-mlx", 700, 16, 8 * 256),
    ("nanochat-mlx", 2048, 64, 80 * 64),
    ("parameter-golf", 1024, 8, None),
]


@pytest.mark.parametrize(("name", "length", "rows", "expected"), ROWS)
def test_an_evaluation_has_whole_steps_only(name, length, rows, expected):
    assert PROFILES[name].rows(sized(length, rows)) == expected


def test_evaluations_that_hold_no_step():
    """At 512 rows, 3 x 524288 tokens are one step; of too many rows nanochat-mlx takes one, others none."""
    assert replace(PROFILES["autoresearch-mlx"], eval_rows=512).rows(sized(2048, 1)) == 512
    assert PROFILES["nanochat-mlx"].rows(sized(2048, 6000)) == 6000
    with pytest.raises(ValueError, match=r"elementalcollision: device_batch=6000 .*; try device_batch=2560"):
        PROFILES["elementalcollision"].rows(sized(2048, 6000))
    assert {name: PROFILES[name].eval_tokens / CHUNK for name in PACKED} == {
        "karpathy": 40, "elementalcollision": 10, "pr205": 40, "autoresearch-mlx": 3, "nanochat-mlx": 20,
    }  # fmt: skip


UNTIMED = {
    "karpathy": 11,
    "elementalcollision": 11,
    "pr205": 11,
    "autoresearch-mlx": 1,
    "nanochat-mlx": 0,
    "parameter-golf": 0,
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_first_steps_are_not_timed(name):
    """Step i takes 2^i seconds: no other steps have this sum."""
    steps = [2.0**i for i in range(16)]
    assert PROFILES[name].timed_s(steps) == 2**16 - 2 ** UNTIMED[name]
    assert PROFILES[name].timed_s(steps[:5]) == (2**5 - 2 ** UNTIMED[name] if UNTIMED[name] < 5 else 0)


PEAKS = [
    ("karpathy", "Apple M1", 8, 989.5),
    ("elementalcollision", "Apple M1 Max", 24, 16.0),  # 32 cores are guessed
    ("elementalcollision", "Apple M3 Ultra", 80, 49.4),  # 76 are
    ("elementalcollision", "Apple M5 Max", None, 34.0),
    ("elementalcollision", "Apple M4", None, 7.0),
    ("elementalcollision", "NVIDIA H100 80GB HBM3", None, 756.0),
    ("elementalcollision", "NVIDIA GeForce RTX 5090", None, 419.0),
    ("elementalcollision", "AMD EPYC 7M13", None, None),
    ("pr205", "Apple M1 Max", 24, 12.0),
    ("pr205", "Apple M5 Max", 40, 26.0),
    ("pr205", "Apple M4 Max", None, None),
    ("nanochat-mlx", "Apple M2 Pro", 19, 6.8),
    ("nanochat-mlx", "Apple M3 Max", 40, 6.0),
    ("nanochat-mlx", "Apple M4 Max", 40, 6.8),
    ("nanochat-mlx", "Apple M5 Max", 40, None),
    ("nanochat-mlx", "NVIDIA H200", None, None),
]


@pytest.mark.parametrize(("name", "chip", "cores", "tflop_per_s"), PEAKS)
def test_a_chip_has_the_peak_that_each_program_gives_it(name, chip, cores, tflop_per_s):
    found = PROFILES[name].peak(chip, cores)
    assert found is None if tflop_per_s is None else found == pytest.approx(tflop_per_s * 1e12, rel=1e-12)


def test_an_mfu_of_eleven_untimed_steps_is_too_high_by_one_in_as_many_as_are_timed():
    """46 steps of a second: ten are taken off, of which eleven were not timed; the true share is the wrong variant."""
    steps, flop, of = [1.0] * 46, 1e12, 989.5e12
    found = PROFILES["karpathy"].mfu(steps, 1, int(flop), 0, "", None)
    assert found == 1e12 * 36 / 35 / of
    assert found / (flop / of) - 1 == pytest.approx(1 / 35)
    assert PROFILES["karpathy"].mfu(steps[:11], 1, int(flop), 0, "", None) is None, "no step was timed"


def test_other_mfus():
    """nanochat-mlx: 6 FLOP a parameter, of each step by itself; the two that print none have none, never 0."""
    of_run = ([9.0, 2.0], 100, 7, 3)
    assert PROFILES["nanochat-mlx"].mfu(*of_run, "Apple M4 Max", 40) == 6 * 3 * 100 / 2.0 / 6.8e12
    assert PROFILES["nanochat-mlx"].mfu(*of_run, "Apple M5 Max", 40) is None
    for name in ("autoresearch-mlx", "parameter-golf"):
        assert PROFILES[name].mfu(*of_run, "Apple M4 Max", 40) is None


NAN = math.nan
FAILS = {  # by the losses of a step's micro-batches
    "karpathy": [((NAN,), True), ((1.0, NAN), True), ((NAN, 1.0), False), ((100.1,), True), ((300.0, 1.0), False)],
    "elementalcollision": [((1.0, NAN), True), ((NAN, 1.0), True), ((300.0, 1.0), True), ((101.0, 1.0), False)],
    "pr205": [((NAN, 1.0), True), ((100.0,), False), ((math.inf,), True)],
    "autoresearch-mlx": [((NAN,), False), ((100.1,), True), ((300.0, 1.0), False)],
    "nanochat-mlx": [((NAN,), False), ((1e9,), False)],
    "parameter-golf": [((NAN,), False), ((1e9,), False)],
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_loss_ends_a_run_where_the_program_would_end_it(name):
    for losses, fails in FAILS[name]:
        assert PROFILES[name].failed(losses) is fails, losses


def test_newton_schulz_has_the_precision_of_the_program():
    found = {name: profile.recipe(preset("tiny")).optimizer.matrices.dtype for name, profile in PROFILES.items()}
    assert found == {
        "karpathy": "compute",
        "elementalcollision": "float32",
        "pr205": "float32",
        "autoresearch-mlx": "float32",  # it has no Muon: ours is left as it is
        "nanochat-mlx": "float32",
        "parameter-golf": "compute",
    }
    assert PROFILES["autoresearch-mlx"].newton_schulz is None

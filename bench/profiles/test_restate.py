"""A run under a profile's rules: which rows are scored, what their bytes are, what the summary says.

`pytest -m fast bench/profiles`
"""

import re
from dataclasses import replace
from itertools import islice
from math import log
from types import SimpleNamespace

import numpy as np
import pytest

from bench.conformance.plain_packer import plain_rows
from bench.meta.command import run
from bench.profiles import PROFILES, restate, summary
from bench.profiles.profile import unpacked
from bench.profiles.restate import score
from impl.data import corpus, shards, tokens
from impl.data.batches import refills
from impl.data.tokenizer import Tokenizer
from impl.spec import RECIPES, Data, Model
from reports.schema import Hardware

TOKENIZER = Tokenizer([bytes([i]) for i in range(256)] + [b" the", b"\xe4\xbd", b"  "])
LENGTH, ROWS = 16, 3
RECIPE = replace(
    RECIPES["autoresearch"],
    model=Model(sequence_len=LENGTH, vocab_size=TOKENIZER.vocab_size, depth=1, width=32, heads=2, kv_heads=2),
    data=Data(total_batch=LENGTH * ROWS, device_batch=ROWS, buffer_documents=6),
)
STEPS = 5  # of an evaluation
SMALL = [
    replace(profile, eval_tokens=profile.eval_tokens and STEPS * LENGTH * (profile.eval_rows or ROWS) + 1)
    for profile in PROFILES.values()
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """As much of a prepared directory as an evaluation reads; some characters are cut in parts."""
    folder = tmp_path_factory.mktemp("val")
    texts = [f"{'a' * (i % 7)} the \u4f60{'  ' * (i % 3)}{i}" for i in range(40)]
    shards.write(folder / "a.parquet", texts, group_documents=9)
    tokens.write(folder / "a.arrow", folder / "a.parquet", TOKENIZER, "a test", lambda count: None)
    return SimpleNamespace(tokenizer=TOKENIZER, token_files=lambda split: {"val": [folder / "a.arrow"]}[split])


def cost(inputs, targets):  # 2 x (B, T) -> (B, T)
    """Nats that tell every place from every other."""
    return np.where(targets >= 0, 1 + inputs / 512 + targets / 2**18 + np.arange(LENGTH) / 2**24, 0.0)


def by_hand(profile, prepared) -> tuple[float, int, int]:
    """(nats, bytes, tokens) of the profile, a row at a time."""
    if profile.eval_tokens is None:
        documents = [ids for group in tokens.row_groups(prepared.token_files("val")[0]) for ids in group]
        stream = np.concatenate(documents).astype(np.int64)
        rows = [stream[i : i + LENGTH + 1] for i in range(0, len(stream) - LENGTH, LENGTH)]
    else:
        source = refills(prepared, "val", RECIPE.data.refill_documents)
        count = STEPS * (profile.eval_rows or ROWS)
        packed = plain_rows(source, LENGTH + 1, RECIPE.data.buffer_documents)
        rows = [np.array(row) for row, _ in islice(packed, count)]
    inputs, targets = np.array(rows)[:, :-1], np.array(rows)[:, 1:]
    table = profile.table(TOKENIZER)
    counted = table.size[targets] > 0 if not profile.scores_empty else targets >= 0
    nats = sum(float(x) for x in cost(inputs, targets)[counted])
    return nats, int(table.of(inputs, targets).sum()), int(counted.sum())


@pytest.mark.fast
@pytest.mark.parametrize("at_once", [1, 8])
def test_scores_are_those_of_the_rows_that_each_program_takes(prepared, at_once):
    """All at once share what they can, whatever the rows at a time; the last are no whole group of eight."""
    found = score(lambda *rows: cost(*rows).sum(1), prepared, RECIPE, SMALL, at_once)
    for profile, sums in zip(SMALL, found, strict=True):
        nats, bytes_, counted = by_hand(profile, prepared)
        assert (sums.bytes, sums.tokens) == (bytes_, counted), profile.name
        assert sums.nats == pytest.approx(nats, rel=1e-12), profile.name
    assert len({(sums.nats, sums.bytes) for sums in found}) == 5  # at these sizes two have the same rows and table


@pytest.mark.fast
def test_no_row_is_computed_twice(prepared):
    """Profiles with one rule of what is scored are one computation: two where the rules are two."""
    calls = []

    def nats(inputs, targets):
        calls.append(len(inputs))
        return cost(inputs, targets).sum(1)

    score(nats, prepared, RECIPE, [SMALL[0], SMALL[1]], ROWS)
    assert calls == [ROWS] * STEPS
    score(nats, prepared, RECIPE, [SMALL[0], SMALL[2]], ROWS)
    batches = islice(SMALL[0].stream(prepared, RECIPE, ROWS), STEPS)
    with_bos = sum((targets == TOKENIZER.bos).any() for _, targets in batches)
    assert len(calls) == STEPS + STEPS + with_bos and with_bos > 0


@pytest.mark.fast
def test_a_split_in_a_row_is_cut_into_whole_windows(prepared):
    (path,) = prepared.token_files("val")
    stream = [int(i) for group in tokens.row_groups(path) for ids in group for i in ids]
    windows = list(unpacked(prepared, LENGTH, 3))
    whole = (len(stream) - 1) // LENGTH * LENGTH
    assert len(stream) - 1 - whole > 0 and len(windows[-1][0]) < 3  # what is left over is left out
    assert np.concatenate([inputs for inputs, _ in windows]).ravel().tolist() == stream[:whole]
    assert np.concatenate([targets for _, targets in windows]).ravel().tolist() == stream[1 : whole + 1]


@pytest.mark.fast
def test_summary_says_rule_score_and_what_was_published(prepared):
    machine = Hardware(chip="Apple M5 Max", gpu_cores=40)
    (found,) = restate(
        lambda *rows: cost(*rows).sum(1), prepared, RECIPE, [1.0] * 20, machine, [replace(SMALL[1])], at_once=2
    )
    nats, bytes_, _ = by_hand(SMALL[1], prepared)
    assert found.bits_per_byte == pytest.approx(nats / (log(2) * bytes_), rel=1e-12)
    assert found.timed_s == 9 and found.mfu == found.flop_per_s / 34e12
    lines = summary(found, ours=2 * found.bits_per_byte, data="climbmix")
    assert lines["profile_bpb"].endswith(f"-50.00 % of our rule's {2 * found.bits_per_byte:.6f}")
    assert lines["profile_seconds"] == "9.0, without the first 11 steps"
    published = [line for key, line in lines.items() if key.startswith("published")]
    assert any(line.startswith("1.319639 on Apple M5 Max, climbmix (") for line in published)
    assert any("0.961 on Apple M5 Max, cosmopedia-v2; other data, not comparable" in line for line in published)
    assert all("on Apple M5 Max" in line for line in published) and len(published) == 8
    (elsewhere,) = [line for key, line in summary(replace(found, chip="AMD EPYC"), 1.0, "x").items() if "pub" in key]
    assert elsewhere.startswith("1.2959 on Apple M5 Max, climbmix; other data")


@pytest.mark.meta
def test_command_tabulates_one_model_under_a_programs_rules(tmp_path):
    documents = corpus.read()
    shards.write(tmp_path / "a.parquet", documents["train"][:200])
    shards.write(tmp_path / "b.parquet", documents["val"][:10])
    asked = ("--data", tmp_path, "--seconds", "1", "--profile", "parameter-golf", "--backend", "torch-cpu")
    status, output = run("-m", "bench.profiles", *asked, NANOMARK_CACHE=str(tmp_path / "cache"))
    assert status == 0, output
    scores = {
        row[0]: float(row[1]) for row in re.findall(r"^\| (ours|parameter-golf) +\| +(\d\.\d{4}) \| ", output, re.M)
    }
    assert set(scores) == {"ours", "parameter-golf"} and scores["ours"] != scores["parameter-golf"]
    assert all(1 < score < 5 for score in scores.values())

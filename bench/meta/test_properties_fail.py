"""Every property can fail: a subject that lacks it is told so, and the oracle has them all.

`pytest -m meta bench/meta/test_properties_fail.py`
"""

import inspect
from dataclasses import replace

import numpy as np
import pytest

import bench.oracle
from bench.conformance import test_properties as model
from bench.conformance import test_properties_score as score
from bench.conformance.test_properties_score import ordered
from bench.meta.cases import call
from bench.mutants import MUTANTS, Mutant, Mutated
from bench.subject import load
from impl.data.evaluation import UNSCORED
from impl.oracle import gpt, ops, train

pytestmark = pytest.mark.meta
__all__ = ["ordered"]  # a fixture of the tests that run here

KNOWN = {mutant.name: mutant for mutant in MUTANTS}


def of_first_row(attention):
    """Every row reads the first one's keys."""
    return lambda q, k, v, window, p: attention(q, np.broadcast_to(k[:1], k.shape), v, window, p)


def whole_blocks(visible):
    """A block of 32 keys is seen whole where any of it is within the window: right in the other models' sizes."""

    def seen(tokens, window):
        place = np.arange(tokens)
        return np.tri(tokens, dtype=bool) & (place[:, None] - (place | 31)[None, :] <= window)

    return seen


def batch_norm(rms_norm):
    """The mean square of the whole batch."""

    def normed(x, eps, p):
        return p.kernel(x / np.sqrt(np.mean(x * x) + p.dtype(eps))) if x.ndim == 3 else rms_norm(x, eps, p)

    return normed


def blind(forward):
    """Every other token is the one before it."""
    return lambda self, tokens: forward(self, np.repeat(tokens[:, ::2], 2, axis=1)[:, : tokens.shape[1]])


def next_gate(gate):
    """Every key head has its neighbour's gate."""
    return lambda self, n, weight: np.roll(gate(self, n, weight), 1, axis=2)


def gradient_of_the_sum(backward):
    return lambda raw, targets, cap, p: backward(raw, targets, cap, p) * np.sum(targets >= 0)


def last_loss(loss_and_grads):
    """Upstream's test for a lost run, and its log, see the last micro-batch alone."""

    def answer(self, micro_batches):
        return loss_and_grads(self, micro_batches[-1:])[0], loss_and_grads(self, micro_batches)[1]

    return answer


def attending(construct):
    """What was to attend to nothing attends."""

    def constructed(self, model, params, p):
        open_again = {name: x + 1 if name.endswith("attn.c_proj.weight") else x for name, x in params.items()}
        construct(self, model, open_again, p)

    return constructed


def without_last_window(windows):
    def cut(prepared, sequence_len):
        text = windows(prepared, sequence_len)
        return text._replace(inputs=text.inputs[:-1], targets=text.targets[:-1])

    return cut


def without_first_targets(windows):
    """A window's first token has no target of its own, as where windows share none."""

    def cut(prepared, sequence_len):
        text = windows(prepared, sequence_len)
        return text._replace(targets=np.where(np.arange(sequence_len) == 0, UNSCORED, text.targets))

    return cut


def whole_batches(evaluate):
    def scored(nats, text, rows):
        whole = max(rows, len(text.inputs) // rows * rows)
        cut = text._replace(inputs=text.inputs[:whole], targets=text.targets[:whole])
        return replace(evaluate(nats, cut, rows), tokens=evaluate(nats, text, rows).tokens)

    return scored


def in_bits(token_nats):
    return lambda *arguments: token_nats(*arguments) / np.log(2)


def wrong(name: str, owner, attribute: str, wrap) -> Mutant:
    return Mutant(name, (), ((owner, attribute, wrap),))


class Scored(Mutated):
    """A mutant that is asked for the score of a text too."""

    def bits_per_byte(self, *arguments):
        return self._answer("bits_per_byte", *arguments)


CASES = {
    model.test_future_tokens_change_nothing: [
        KNOWN["future keys seen"],
        wrong("tokens read in pairs", gpt.GPT, "forward", blind),
    ],
    model.test_a_query_sees_its_own_key_and_a_window_of_earlier_ones: [
        KNOWN["window of W keys"],
        KNOWN["window ignored"],
        KNOWN["future keys seen"],
    ],
    model.test_windows_hold_where_kernels_work_in_blocks: [
        KNOWN["window of W keys"],
        KNOWN["window ignored"],
        KNOWN["future keys seen"],
        wrong("blocks masked whole", ops, "visible", whole_blocks),
    ],
    model.test_each_layer_reaches_its_window: [
        KNOWN["window of W keys"],
        KNOWN["window ignored"],
        KNOWN["last layer not long"],
        KNOWN["short window half as long"],
    ],
    model.test_shared_keys_are_repeated_keys: [KNOWN["query heads tiled over key heads"]],
    model.test_a_model_of_shared_heads_is_one_of_repeated_heads: [
        KNOWN["query heads tiled over key heads"],
        wrong("gate of the next head", gpt.GPT, "_gate", next_gate),
    ],
    model.test_rows_do_not_see_each_other: [
        wrong("keys of the first row", ops, "attention", of_first_row),
        wrong("norm over the batch", ops, "rms_norm", batch_norm),
    ],
    model.test_the_gradient_of_a_batch_is_the_mean_over_its_parts: [
        wrong("gradient of the sum", ops, "cross_entropy_backward", gradient_of_the_sum),
        wrong("norm over the batch", ops, "rms_norm", batch_norm),
    ],
    model.test_accumulated_micro_batches_are_one_batch: [
        KNOWN["gradients summed over micro-batches"],
        wrong("loss of the last micro-batch", train.Trainer, "loss_and_grads", last_loss),
    ],
    score.test_the_score_of_what_sees_no_context_depends_on_the_text_alone: [
        wrong("context seen", gpt.GPT, "__init__", attending),
        wrong("last window dropped", bench.oracle, "windows", without_last_window),
        wrong("no target at a window's start", bench.oracle, "windows", without_first_targets),
        wrong("whole batches only", bench.oracle, "evaluate", whole_batches),
    ],
    score.test_a_uniform_model_scores_the_logarithm_of_the_vocabulary: [
        KNOWN["padded vocabulary scored"],
        KNOWN["unscored targets scored"],
        wrong("bits for nats", ops, "token_nats", in_bits),
        wrong("whole batches only", bench.oracle, "evaluate", whole_batches),
    ],
}
WRONG = [pytest.param(test, mutant, id=f"{mutant.name}: {test.__name__}") for test in CASES for mutant in CASES[test]]


@pytest.mark.parametrize(("test", "mutant"), WRONG)
def test_a_subject_that_lacks_a_property_fails_it(test, mutant, policy, request):
    with pytest.raises(AssertionError):
        call(test, request, subject=Scored(mutant), policy=policy)


@pytest.mark.parametrize("test", CASES, ids=lambda test: test.__name__)
def test_the_oracle_has_every_property(test, policy, request):
    call(test, request, subject=load("oracle"), policy=policy)


@pytest.mark.parametrize("module", [model, score], ids=["model", "score"])
def test_no_property_of_a_subject_is_left_out(module):
    asked = {test for name, test in vars(module).items() if name.startswith("test_")}
    asked = {test for test in asked if "subject" in inspect.signature(test).parameters}
    assert asked == {test for test in CASES if test.__module__ == module.__name__}

"""The conformance tests as functions: which one measures which row of the tolerance table, on any subject."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.conformance import conftest, test_bpb, test_gpt, test_ops, test_optim, test_train
from bench.subject import Subject
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.spec import Data

# The cheapest that see much stand first.
CHECKS = {
    "matmul": test_ops.test_matmul_matches_oracle,
    "rms_norm": test_ops.test_rms_norm_matches_oracle,
    "rope": test_ops.test_rope_matches_oracle,
    "attention": test_ops.test_attention_matches_oracle,
    "cross_entropy": test_ops.test_cross_entropy_matches_oracle,
    "logits": test_gpt.test_logits_match_oracle,
    "activations": test_gpt.test_activations_match_oracle,
    "nats": test_gpt.test_row_nats_match_oracle,
    "loss": test_gpt.test_loss_and_gradients_match_oracle,
    "grads": test_gpt.test_loss_and_gradients_match_oracle,
    "orthogonalize": test_optim.test_orthogonalizer_matches_oracle,
    "optimizer": test_optim.test_optimizer_steps_match_oracle,
    "optimizer_state": test_optim.test_optimizer_steps_match_oracle,
    "large_matmul": test_ops.test_large_matmul_matches_oracle,
    "val_nats": test_bpb.test_the_whole_text_is_scored,
    "trajectory": test_train.test_twenty_steps_match_oracle,
}
FIXED = {"orthogonalize": {"orthogonalizer": "polar express"}, "trajectory": {"accumulation": 2, "start": 0.0}}


def ask(quantity: str, subject: Subject, policy: str) -> None:
    """Run the test that measures this quantity. Raises Disagreement where the subject is wrong."""
    more = {"small": _text()[1]} if quantity == "val_nats" else FIXED.get(quantity, {})
    CHECKS[quantity](subject=subject, policy=policy, **more)


@lru_cache(maxsize=1)
def _text() -> tuple[TemporaryDirectory, Prepared]:
    """Some documents, prepared at the smaller vocabulary; the folder goes when the process does."""
    home = TemporaryDirectory(prefix="nanomark-")
    folder = conftest.cut(Path(home.name) / "shards")
    return home, prepare(folder, 300, Data(), Path(home.name) / "cache")

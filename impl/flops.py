"""FLOPs per token from a model's sizes, as the field counts them: 6 N for the matrices, 12 H D W for attention."""

from math import prod

from impl.spec import Model


def flop_per_token(model: Model) -> int:
    """Forward and backward; attention is not halved for causality, embeddings and scalars do not count.

    Source: the estimate in karpathy/autoresearch and nanochat, which reproduces their published MFU.
    """
    matmul = sum(
        prod(shape)
        for name, shape in model.shapes().items()
        if name.endswith("weight") and "wte" not in name and not name.startswith("value_embeds")
    )
    reach = sum(min(window, model.sequence_len) for window in model.windows())
    return 6 * matmul + 12 * model.heads * model.head_dim * reach

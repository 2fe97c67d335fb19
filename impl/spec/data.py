"""How text becomes batches: the packer's rule and the batch in tokens."""

from dataclasses import dataclass

from impl.spec.fields import local, require_positive, rule, size


@dataclass(frozen=True, kw_only=True)
class Data:
    """`total_batch` tokens feed one optimizer step, `device_batch` rows one forward pass."""

    total_batch: int = size(2**19)
    device_batch: int = local(128)
    buffer_documents: int = rule(1000)
    refill_documents: int = rule(128)
    tokenizer_doc_chars: int = rule(10_000)
    tokenizer_chars: int = rule(1_000_000_000)

    def __post_init__(self):
        require_positive(self, "total_batch", "device_batch", "buffer_documents", "refill_documents")

    def accumulation(self, sequence_len: int) -> int:
        """Forward passes per optimizer step. Raises ValueError where the device batch does not divide the total."""
        micro = self.device_batch * sequence_len
        if self.total_batch % micro:
            nearest = max(1, round(self.total_batch / micro)) * micro
            raise ValueError(
                f"total_batch={self.total_batch} is not a multiple of device_batch={self.device_batch} x "
                f"sequence_len={sequence_len} = {micro}; try total_batch={nearest}"
            )
        return self.total_batch // micro

"""The one exception of this package: what is wrong with which file, and what to do."""


class DataError(ValueError):
    """Bad text, shard, tokenizer or directory. `str()` is one line: where, reason, remedy."""

    def __init__(self, where, reason, remedy: str):
        super().__init__(str(where), str(reason), remedy)

    def __str__(self) -> str:
        where, reason, remedy = self.args
        return " ".join(f"{where}: {reason}; {remedy}".split())

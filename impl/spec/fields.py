"""Which of the four hashes a field belongs to, and the checks that every dataclass shares."""

from dataclasses import field


def rule(default):
    """A field that says *how*: it enters the recipe hash."""
    return field(default=default, metadata={"hash": "recipe"})


def later(default):
    """A rule that older recipes did not name: it enters the recipe hash unless it has its default, so theirs stand."""
    return field(default=default, metadata={"hash": "recipe", "later": True})


def size(default):
    """A field that says *how much* (widths, batch in tokens, learning rates): it enters the config hash."""
    return field(default=default, metadata={"hash": "config"})


def local(default):
    """A field that must not change any number (the device batch): it enters no hash."""
    return field(default=default, metadata={"hash": None})


def nearest_multiple(value: int, factor: int) -> int:
    """The multiple of `factor` nearest to `value`, at least one."""
    return max(1, round(value / factor)) * factor


def require_positive(owner, *names: str) -> None:
    """Raise ValueError for the first named field of `owner` that is not a finite number above zero."""
    for name in names:
        value = getattr(owner, name)
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}={value} must be finite and above 0; try {name}=1")


def require_rate(owner) -> None:
    """Raise ValueError where `owner.lr` is not a finite number of at least zero."""
    if not 0 <= owner.lr < float("inf"):
        raise ValueError(f"lr={owner.lr} must be finite and not negative; try lr=0.01")

"""What was found about a report, and what it makes of it: accepted, pending or rejected.

Test with `pytest -m fast -k check`.
"""

from dataclasses import dataclass

ACCEPTED, PENDING, REJECTED = "accepted", "pending", "rejected"
LONGEST = 600  # characters of a reason


@dataclass(frozen=True)
class Finding:
    """`part` is schema, arithmetic or plausibility; `verdict` what this alone would make of the report.

    A reason quotes a stranger's text: whatever a terminal could obey, or a reader mistake, is escaped.
    """

    part: str
    verdict: str
    reason: str

    def __post_init__(self):
        text = self.reason if self.reason.isascii() and self.reason.isprintable() else _escaped(self.reason)
        object.__setattr__(self, "reason", text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")


@dataclass(frozen=True)
class Verdict:
    """A report's findings; accepted without any, pending where a person must look, else rejected."""

    file: str
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        found = {finding.verdict for finding in self.findings}
        return REJECTED if REJECTED in found else PENDING if PENDING in found else ACCEPTED


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()


def unreadable(reason: str) -> Finding:
    """No report can be read from it."""
    return Finding("schema", REJECTED, reason)


def wrong(reason: str) -> Finding:
    """Its own numbers contradict each other."""
    return Finding("arithmetic", REJECTED, reason)


def implausible(reason: str, verdict: str = REJECTED) -> Finding:
    """What it says is not to be believed, or not without a look."""
    return Finding("plausibility", verdict, reason)

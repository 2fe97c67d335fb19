"""Text that no run of ours writes: markup, addresses, paths that climb, letters that pass for others.

A report's text is data and is shown as such; what could be meant for something else is looked at by a person first.
Test with `pytest -m fast -k "bad_reports or references"`.
"""

import re
from collections.abc import Iterator

from reports.chips import known_cpu
from reports.record import Record
from reports.verdict import PENDING, Finding, implausible

PLAIN = re.compile(r"[ -~]*")  # printable ASCII
# Angle brackets and braces begin markup and expressions; the rest leads somewhere.
MEANT_FOR_ELSEWHERE = re.compile(
    r"[<>{}`\\$]|\.\.+/|\b(?:javascript|vbscript|data|file|blob)\s*:|://|//", re.IGNORECASE
)
CHIP = re.compile(r"[A-Za-z0-9](?:[ A-Za-z0-9()@.,+_/-]*[A-Za-z0-9()])?")
NAMED_BY_CHOICE = ("consent",)  # people's names have any letters


def findings(record: Record) -> Iterator[Finding]:
    """One for each field; its text is shown escaped."""
    chip = record.hardware.chip  # a GPU's must be in the table to the letter, a CPU's only begin with its maker
    if record.software.backend.endswith("-cpu") and known_cpu(chip) and not CHIP.fullmatch(chip):
        yield _odd("hardware.chip", chip, "characters that no driver writes")
    for field, text in _strings(record.model_dump(exclude={"run": {"steps"}, "hardware": {"chip"}}), ""):
        if MEANT_FOR_ELSEWHERE.search(text):
            yield _odd(field, text, "markup, an expression or an address")
        elif not (text.isprintable() if field.startswith(NAMED_BY_CHOICE) else PLAIN.fullmatch(text)):
            yield _odd(field, text, "characters that no run writes")


def _odd(field: str, text: str, what: str) -> Finding:
    return implausible(f"{field[:80]} holds {what}: {text[:60]!a}", PENDING)


def _strings(node: object, path: str) -> Iterator[tuple[str, str]]:
    """(field, text); a mapping's keys are text of the mapping's field, so that no field's name is a stranger's."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            known = str(key).isidentifier()
            if not known:
                yield path, str(key)
            yield from _strings(value, f"{path}.{key}".lstrip(".") if known else path)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _strings(value, path)

"""The shape of a report for programs that are not ours: JSON Schema, draft 2020-12, unknown properties refused.

What one field says of another is beyond it: `python -m reports check`. Test with `pytest -m meta -k json_schema`.
"""

import json
from pathlib import Path
from typing import Any

from reports.record import SIZE_LIMIT, Record

FILE = Path(__file__).parent / "schema.json"
COMMAND = "python -m reports schema --write"


def document() -> dict[str, Any]:
    """The schema of today's version."""
    shape = Record.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **shape,
        "title": "nanomark report",
        "description": f"One run's measurements, at most {SIZE_LIMIT} bytes. Made by: {COMMAND}",
    }


def text() -> str:
    """As it is committed."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"

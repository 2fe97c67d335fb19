"""`python -m reports schema`: print what a report looks like, as JSON Schema (draft 2020-12).

The committed reports/schema.json is what this prints; a test holds them together. Earlier versions are read through
reports/migrations.py. Exit status: 0; with --write, 1 where the file cannot be written.

    python -m reports schema --write    after a change of reports/schema.py
"""

import sys
from argparse import ArgumentParser, Namespace

from reports import json_schema

HELP = "print what a report looks like, as JSON Schema"


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("--write", action="store_true", help=f"into reports/{json_schema.FILE.name} instead")


def run(options: Namespace) -> int:
    """Print, or write where it is committed."""
    if not options.write:
        print(json_schema.text(), end="")
        return 0
    try:
        json_schema.FILE.write_text(json_schema.text(), encoding="utf-8", newline="\n")
    except OSError as error:
        print(f"{json_schema.FILE}: not written ({error.strerror}); check its permissions", file=sys.stderr)
        return 1
    return 0

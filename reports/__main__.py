"""`python -m reports`: what can be done with report files.

Test with `pytest -m fast -k reports_command`.
"""

import argparse
import sys
from importlib import import_module

COMMANDS = ("check", "compare", "judge", "schema", "share", "site", "table")  # modules of reports.commands


def main(arguments: list[str] | None = None) -> int:
    """Exit status: each command's; 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Work with report files.")
    commands = parser.add_subparsers(dest="command", required=True)
    modules = {name: import_module(f"reports.commands.{name}") for name in COMMANDS}
    for name, module in modules.items():
        described = commands.add_parser(
            name, help=module.HELP, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add(described)
    options = parser.parse_args(arguments)
    return modules[options.command].run(options)


if __name__ == "__main__":
    sys.exit(main())

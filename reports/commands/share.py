"""`python -m reports share`: hand a report to the project, after showing what leaves this machine and asking.

The report is checked, shown, and put as the only change of one commit on a new branch of your fork (remote `fork`, else
`origin`, else --remote); a pull request is opened through `gh` where it is logged in, else by the address printed. Your
files, index and branches stay as they are. Without git, identity or remote: an issue's address and the file to attach.
What was agreed to and did not arrive is kept, and --retry tries it again. Exit status: 0 it is there, 1 it is not, and
what to do is said; 2 wrong call.

    python -m reports share runs/CHIP/FILE.json
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from reports.check import PENDING, REJECTED, check
from reports.record import ReportError
from reports.share import backlog, branch, request
from reports.share.address import ANONYMOUS, Identity, Route, Web, home
from reports.share.error import ShareError, plain
from reports.share.git import Git
from reports.share.parcel import Parcel

HELP = "hand a report to the project: show what leaves, ask, push a branch, open a pull request"
ROOT = Path(__file__).parents[2]
IDENTITY = "git config user.name and user.email, or --anonymous"


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("file", nargs="*", type=Path, help="a report")
    parser.add_argument("--retry", action="store_true", help="what was kept because it did not arrive")
    parser.add_argument("--dry-run", action="store_true", help="show everything, do nothing")
    parser.add_argument("--yes", action="store_true", help="agree beforehand, also to what a person must look at")
    parser.add_argument("--remote", metavar="NAME|URL", help="your fork (remote fork, else origin)")
    parser.add_argument("--anonymous", action="store_true", help="the commit names nobody; the push is still yours")
    parser.add_argument("--contributor", metavar="NAME", help="whom the report names; '' for nobody (as in the file)")
    parser.add_argument("--licence", metavar="NAME", help="under which it may be used (as in the file)")


def run(options: Namespace) -> int:
    """Share each file, one by one."""
    if bool(options.file) == options.retry:
        print("give the reports to share, or --retry for those that were kept; not both", file=sys.stderr)
        return 2
    files = backlog.waiting() if options.retry else options.file
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not files:
        console.print(f"nothing waits in {backlog.folder()}")
    return max((_share(file, options, console) for file in files), default=0)


def _share(file: Path, options: Namespace, console: Console) -> int:
    verdict = check(file)
    for finding in verdict.findings:
        console.print(f"{finding.verdict}: {finding.part}: {plain(finding.reason)}", style="yellow")
    if verdict.name == REJECTED:
        console.print(f"{plain(str(file))}: rejected, not shared; share the file as the run wrote it", style="bold red")
        return 1
    try:
        parcel = Parcel.of(file, options.contributor, options.licence)
    except ValueError as error:  # ReportError, or a contributor that no report may hold
        console.print(plain(str(error)), style="bold red")
        return 1
    with TemporaryDirectory(prefix="nanomark-share-") as scratch:
        try:
            git = Git(ROOT, Path(scratch))
            route = Route.of(git, options.remote)
        except ShareError as error:
            _show(parcel, None, None, verdict.name, console)
            return _by_hand(error, _attached(file, parcel, options), parcel, None, console)
        identity = ANONYMOUS if options.anonymous else Identity.of(git)
        _show(parcel, route, identity, verdict.name, console)
        if identity is None:
            error = ShareError("git identity", "none is set, and a commit names somebody", IDENTITY)
            return _by_hand(error, _attached(file, parcel, options), parcel, route, console)
        if options.dry_run:
            console.print("dry run: nothing was done")
            return 0
        if not (options.yes or _agreed()):
            console.print("not shared; nothing left this machine")
            return 1
        return _deliver(git, parcel, route, identity, console)


def _deliver(git: Git, parcel: Parcel, route: Route, identity: Identity, console: Console) -> int:
    try:
        kept = backlog.keep(parcel.record)  # first, so that not even a kill loses what was agreed to
    except ReportError as error:
        console.print(plain(str(error)), style="bold red")
        return 1
    try:
        return _arrive(kept, git, parcel, route, identity, console)
    except (ShareError, KeyboardInterrupt) as error:
        reason = error if isinstance(error, ShareError) else ShareError("share", "interrupted", "nothing is lost")
        console.print(f"kept as {kept}; try again with: python -m reports share --retry")
        return _by_hand(reason, kept, parcel, route, console)


def _arrive(kept: Path, git: Git, parcel: Parcel, route: Route, identity: Identity, console: Console) -> int:
    delivered = branch.deliver(git, parcel, route, identity)
    if delivered.news.startswith("in the project"):
        console.print(f"{parcel.path} is in the project already; thank you")
    else:
        console.print(f"branch {parcel.branch} {delivered.news}: {plain(route.fork)}", style="green")
        _request(git, parcel, route, delivered.base, console)
    backlog.arrived(kept)
    return 0


def _request(git: Git, parcel: Parcel, route: Route, base: str, console: Console) -> None:
    """Opened, or the address at which it can be."""
    url = None
    try:
        url = request.open_request(git, parcel, route, base)
    except ShareError as error:
        console.print(str(error), style="yellow")
    if url:
        console.print(f"pull request: {url}", style="green")
    else:
        address = request.compare_url(route, base, parcel.branch)
        console.print(f"open a pull request: {address or f'from that branch to {base} of the project'}")


def _show(parcel: Parcel, route: Route | None, identity: Identity | None, verdict: str, console: Console) -> None:
    """Exactly what would leave; texts from a report are shown escaped, never as markup."""
    console.print(f"\nOne file of {len(parcel.content)} bytes leaves this machine, as {parcel.path}:", style="bold")
    for name, fields in parcel.sections():
        console.print(Text(f" {name}", "bold"))
        for field, value in fields:
            console.print(Text.assemble("  ", (field, "cyan"), f"  {value}"))
    consent = parcel.record.consent
    console.print("With it:", style="bold")
    console.print(
        f"  contributor  {ascii(consent.contributor) if consent.contributor else 'nobody is named in the file'}"
    )
    console.print(f"  licence      {ascii(consent.licence) if consent.licence else 'not said: that of the project'}")
    if route and identity:
        who = f"{plain(identity.name)} <{plain(identity.email)}>"
        console.print(f"  commit       names {who} as its author, for everybody to read (--anonymous: nobody)")
        console.print(f"  message      {ascii(parcel.message)[1:-1]}")
        console.print(f"  branch       {parcel.branch}")
        console.print(f"  pushed to    {plain(route.fork)}, by the account that you use there")
        console.print(f"  request      to {_page(route) or plain(route.project)}, titled {parcel.title!a}, saying")
        for line in parcel.summary():
            console.print(f"    {line}")
    console.print("Nothing else leaves.")
    if verdict == PENDING:
        console.print("It is pending: somebody will have to look at it before it is ranked.", style="yellow")


def _agreed() -> bool:
    try:
        return input("Share it? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print("\nno answer; --yes agrees beforehand")
        return False


def _by_hand(error: ShareError, file: Path, parcel: Parcel, route: Route | None, console: Console) -> int:
    console.print(str(error), style="bold red")
    page = _page(route)
    where = f"open {request.issue_url(page, parcel)}" if page else "open an issue at the project's page"
    console.print(f"or {where}\nand attach {plain(str(file.resolve()))}")
    return 1


def _attached(file: Path, parcel: Parcel, options: Namespace) -> Path:
    """A file with exactly what was shown: another one where consent was given here."""
    return file if options.dry_run or file.name == parcel.path.name else backlog.keep(parcel.record)


def _page(route: Route | None) -> Web | None:
    """The project's, by its remote or else by what this checkout says of itself."""
    return (route and Web.of(route.project)) or home(ROOT)

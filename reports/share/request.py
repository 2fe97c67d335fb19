"""A pull request for a branch that was pushed: opened through `gh` where that is logged in, else an address to open;
and where there is no branch, the address of an issue with its text filled in.

Test with `pytest -m fast bench/meta/test_share.py`.
"""

import os
import shutil
from urllib.parse import quote, urlencode

from reports.fence import fenced
from reports.share import process
from reports.share.address import Route, Web
from reports.share.error import ShareError, plain
from reports.share.git import Git
from reports.share.parcel import Parcel

LONGEST = 2000  # characters of an address that every browser and system passes on
LIMIT_S = 60.0


def compare_url(route: Route, base: str, branch: str) -> str | None:
    """The page that opens a pull request, or None where the fork has no page."""
    fork, project = Web.of(route.fork), Web.of(route.project)
    if fork is None:
        return None
    if project is None or project == fork:  # the host leads on to what it was forked from
        return f"{fork}/pull/new/{quote(branch)}"
    return f"{project}/compare/{quote(base, safe='')}...{fork.owner}:{quote(branch)}?expand=1"


def issue_url(page: Web, parcel: Parcel) -> str:
    """A summary only: the report is attached by hand, because no address is long enough for it."""
    lines = parcel.summary()
    while True:
        body = f"{fenced(lines)}\n\nAttach `{parcel.path.name}` here (in a zip file, where the page takes no JSON)."
        url = f"{page}/issues/new?{urlencode({'title': parcel.title[:120], 'body': body}, quote_via=quote)}"
        if len(url) <= LONGEST or not lines:
            return url
        lines = lines[:-1]


def open_request(git: Git, parcel: Parcel, route: Route, base: str) -> str | None:
    """The pull request's address, of a new one or the one already open; None without a `gh` that is logged in.

    Raises ShareError where `gh` fails.
    """
    fork, project = Web.of(route.fork), Web.of(route.project)
    program = shutil.which("gh")
    if program is None or fork is None or project is None:
        return None

    def gh(*arguments: str) -> process.Ended:
        environment = {**os.environ, "GH_PROMPT_DISABLED": "1", "NO_COLOR": "1"}
        return process.run([program, *arguments], f"gh {arguments[0]}", git.scratch, environment, LIMIT_S)

    if gh("auth", "status", "--hostname", project.host).status:
        return None
    repository = f"{project.host}/{project.owner}/{project.name}"
    if project == fork:
        asked = '.parent // empty | .owner.login + "/" + .name'
        parent = _told(gh("repo", "view", repository, "--json", "parent", "--jq", asked))
        repository = f"{project.host}/{parent}" if parent else repository
    there = gh(
        "pr", "list", "--repo", repository, "--head", parcel.branch, "--json", "url", "--jq", ".[0].url // empty"
    )
    if url := _told(there):
        return url
    words = {"--base": base, "--head": f"{fork.owner}:{parcel.branch}", "--title": parcel.title}
    body = fenced(parcel.summary())
    return _told(gh("pr", "create", "--repo", repository, *(w for pair in words.items() for w in pair), "--body", body))


def _told(ended: process.Ended) -> str:
    """The last line of what `gh` wrote."""
    if ended.status:
        lines = ended.err.strip().splitlines() or [f"exit status {ended.status}"]
        raise ShareError("gh", plain(lines[-1]), "open the pull request by the address below")
    return plain(ended.text().splitlines()[-1]) if ended.text() else ""

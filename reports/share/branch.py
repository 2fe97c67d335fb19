"""The report as the only change of one commit on a branch of the fork, made and pushed without a working tree.

Test with `pytest -m meta bench/meta/test_share_git.py`.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timezone

from reports.share.address import Identity, Route
from reports.share.error import ShareError
from reports.share.git import NETWORK_S, Git, GitError
from reports.share.parcel import Parcel

AGAIN = "run it again"
# What git and the programs under it say, whose fault that is, and what helps. The first that fits is told.
CAUSES = (
    (
        r"resolve host|failed to connect|couldn't connect|connection (refused|timed out|reset|closed)|unreachable"
        r"|could not connect|unable to connect|operation timed out",
        "no connection",
        "see to the network and try again",
    ),
    (r"certificate|host key verification", "its identity could not be checked", "connect once by hand: git ls-remote"),
    (
        r"authentication failed|could not read (username|password)|permission (to .* )?denied|\b40[13]\b"
        r"|prompts disabled|access denied|not authorized",
        "no permission",
        "make a fork and name it with --remote, or log in there",
    ),
    (r"shallow update not allowed", "this checkout is shallow", "git fetch --unshallow, then run it again"),
    (
        r"not appear to be a git repository|repository .*not (found|exist)|no such file or directory|not a git repo",
        "there is no repository",
        "see `git remote -v`, or give another by --remote NAME-or-URL",
    ),
)


@dataclass(frozen=True)
class Delivered:
    """`news`: `pushed`, `there already` (the branch) or `in the project already` (the file)."""

    news: str
    base: str  # the project's branch


def deliver(git: Git, parcel: Parcel, route: Route, identity: Identity) -> Delivered:
    """Again and again gives one branch with one commit. Raises ShareError; then no ref has changed anywhere."""
    base, tip, _ = _remote(git, route.project, parcel.branch)
    _fetch(git, route.project, base, tip)
    blob = git("hash-object", "-w", "--stdin", given=parcel.content)
    if _same(git, tip, parcel, blob, f"the project's {base}"):
        return Delivered("in the project already", base)
    there = _remote(git, route.fork, parcel.branch)[2]
    if there:
        _fetch(git, route.fork, parcel.branch, there)
        where = f"branch {parcel.branch}"
        if _same(git, there, parcel, blob, where):
            return Delivered("there already", base)
        raise ShareError(where, f"is on {route.fork} without the report", f"delete that branch there, and {AGAIN}")
    _push(git, route.fork, _commit(git, parcel, tip, blob, identity), parcel.branch)
    return Delivered("pushed", base)


def _remote(git: Git, url: str, branch: str) -> tuple[str, str, str | None]:
    """(default branch, its commit, the commit of `branch`) at `url`."""
    try:
        told = git("ls-remote", "--symref", "--", url, "HEAD", f"refs/heads/{branch}", limit_s=NETWORK_S)
    except GitError as error:
        raise explained(error, url) from None
    head = re.search(r"(?m)^ref: refs/heads/(\S+)\tHEAD$", told)
    commits = {name: commit for commit, name in re.findall(r"(?m)^([0-9a-f]{40,64})\t(\S+)$", told)}
    if not head or "HEAD" not in commits:
        raise ShareError(url, "no branch there to start from", "push the project's main branch there first")
    return head[1], commits["HEAD"], commits.get(f"refs/heads/{branch}")


def _fetch(git: Git, url: str, branch: str, commit: str) -> None:
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        pass
    else:
        return
    options = ("--quiet", "--no-write-fetch-head", "--no-tags", "--no-recurse-submodules")
    try:
        git("fetch", *options, "--", url, f"refs/heads/{branch}", limit_s=NETWORK_S)
    except GitError as error:
        raise explained(error, url) from None


def _same(git: Git, commit: str, parcel: Parcel, blob: str, where: str) -> bool:
    """Whether the file is there; another file of its name is an error."""
    found = git("ls-tree", commit, "--", str(parcel.path)).split()
    if found and found[:3] != ["100644", "blob", blob]:
        reason = f"has a file of this name that is not this report ({found[1]} {found[2][:12]})"
        raise ShareError(f"{parcel.path}: {where}", reason, "check both by `python -m reports check`")
    return bool(found)


def _commit(git: Git, parcel: Parcel, parent: str, blob: str, identity: Identity) -> str:
    git("read-tree", parent)
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{parcel.path}")
    tree = git("write-tree")
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")  # not this machine's time zone
    who = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", identity.name), ("EMAIL", identity.email), ("DATE", now))
    }
    return git("commit-tree", tree, "-p", parent, given=parcel.message.encode(), environment=who)


def _push(git: Git, url: str, commit: str, branch: str) -> None:
    options = ("--quiet", "--no-follow-tags", "--recurse-submodules=no")
    try:
        git("push", *options, "--", url, f"{commit}:refs/heads/{branch}", limit_s=NETWORK_S)
    except GitError as error:
        raise explained(error, url) from None


def explained(error: GitError, url: str) -> ShareError:
    """What git said about `url` as one line."""
    for pattern, reason, remedy in CAUSES:
        if re.search(pattern, error.said, re.IGNORECASE):
            return ShareError(url, reason, remedy)
    if refused := re.search(r"!\s*\[(?:remote )?rejected\].*\((.+)\)", error.said):
        told = re.findall(r"(?m)^remote: (?!error: hook declined)(.*\S)", error.said)
        said = f" ({told[-1].removeprefix('error: ')})" if told else ""
        return ShareError(
            url, f"the push was rejected: {refused[1]}{said}", "see to what it asks for, or another --remote"
        )
    return ShareError(url, str(error).split("; ")[0], AGAIN)

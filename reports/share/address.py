"""Where a report goes: the remotes of a checkout, their pages on the web, and the identity that a commit carries.

Test with `pytest -m fast bench/meta/test_share.py`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from reports.share.error import ShareError
from reports.share.git import Git, GitError

NAMED = "name yours: --remote NAME-or-URL"
ADDRESS = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^@/\s]*@)?(?P<host>[\w-]+(?:\.[\w-]+)+)(?::\d+)?/"
    r"|(?:[\w.-]+@)?(?P<scp>[\w-]+(?:\.[\w-]+)+):)"
    r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
)


@dataclass(frozen=True)
class Web:
    """A repository's page on its host."""

    host: str
    owner: str
    name: str

    @classmethod
    def of(cls, url: str) -> "Web | None":
        """None for folders and whatever else has no page."""
        found = ADDRESS.fullmatch(url)
        return cls((found["host"] or found["scp"]).lower(), found["owner"], found["name"]) if found else None

    def __str__(self) -> str:
        return f"https://{self.host}/{self.owner}/{self.name}"


@dataclass(frozen=True)
class Identity:
    """Whom a commit names."""

    name: str
    email: str

    @classmethod
    def of(cls, git: Git) -> "Identity | None":
        """The user's own, or None where none is set."""
        try:
            found = re.fullmatch(r"(.+) <(.+)> \d+ [+-]\d+", git("var", "GIT_AUTHOR_IDENT"))
        except GitError:
            return None
        return cls(found[1], found[2]) if found else None


ANONYMOUS = Identity("anonymous", "anonymous@nanomark.invalid")


@dataclass(frozen=True)
class Route:
    """`fork` takes the branch; `project` holds the branch that it starts from. The same where only one is known."""

    fork: str
    project: str

    @classmethod
    def of(cls, git: Git, asked: str | None = None) -> "Route":
        """Of the checkout's remotes: `fork`, or `origin`; the project is `upstream`, or `origin` where it is not the
        fork. Raises ShareError where there is none."""
        names = git("remote").splitlines()
        fork = asked or next((name for name in ("fork", "origin") if name in names), None)
        fork = fork or (names[0] if len(names) == 1 else None)
        if fork is None:
            what = f"none of its {len(names)} remotes is called fork or origin" if names else "it has no remote"
            raise ShareError(str(git.root), what, NAMED)
        project = next((name for name in ("upstream", "origin") if name in names and name != fork), fork)
        return cls(_url(git, names, fork, "--push"), _url(git, names, project))


def home(root: Path) -> Web | None:
    """The project's page as pyproject.toml has it: `Repository = "..."` under [project.urls]."""
    try:
        found = re.search(r'(?m)^Repository\s*=\s*"([^"\n]+)"', (root / "pyproject.toml").read_text("utf-8"))
    except OSError:
        return None
    return Web.of(found[1]) if found else None


def _url(git: Git, names: list[str], remote: str, *options: str) -> str:
    if remote in names:
        return git("remote", "get-url", *options, "--", remote)
    if not re.search(r"[:/\\]", remote) and not (Path(git.root) / remote).exists():
        known = ", ".join(names) or "none"
        raise ShareError(f"--remote {remote}", f"no such remote (there are: {known})", "give one of them, or a URL")
    return remote

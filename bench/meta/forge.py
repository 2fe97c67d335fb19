"""Bare repositories on this disk in place of a host, a clean clone of the working tree's files, and a report to share.

Test with `pytest -m meta bench/meta/test_share_git.py`.
"""

import io
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from bench.meta.command import ROOT
from bench.meta.records import valid_record
from reports.commands import share
from reports.record import save

ZAPHOD = ("Zaphod", "zaphod@heart.example")
TIMEOUT_S = 60


@dataclass
class Forge:
    """`project` and `fork` are bare; `clone` is the user's checkout; everything lies under `folder`."""

    folder: Path
    environment: dict[str, str]

    @property
    def project(self) -> Path:
        return self.folder / "project.git"

    @property
    def fork(self) -> Path:
        return self.folder / "fork.git"

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    @property
    def backlog(self) -> list[Path]:
        return sorted((self.folder / "cache" / "backlog").glob("*/*"))

    def git(self, *arguments: str | Path, where: Path | None = None, given: bytes | None = None) -> str:
        ended = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=where or self.clone,
            env=self.environment,
            input=given,
            capture_output=True,
            check=True,
            timeout=TIMEOUT_S,
        )
        return ended.stdout.decode().strip()

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen:
        """`python -m reports share` in the clone, with nobody at its terminal."""
        return subprocess.Popen(
            [sys.executable, "-m", "reports", "share", *map(str, arguments)],
            cwd=self.clone,
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def share(self, *arguments: str | Path, answer: str = "", **environment: str) -> tuple[int, str]:
        """Exit status and output of the same without the second that a process takes to start."""
        output = io.StringIO()
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(share, "ROOT", self.clone))
            stack.enter_context(mock.patch.dict(os.environ, {**self.environment, **environment}, clear=True))
            stack.enter_context(mock.patch.object(sys, "stdin", io.StringIO(answer)))
            stack.enter_context(redirect_stdout(output))
            stack.enter_context(redirect_stderr(output))
            parser = ArgumentParser()
            share.add(parser)
            status = share.run(parser.parse_args([*map(str, arguments)]))
        return status, output.getvalue()

    def report(self, **sections) -> Path:
        return save(valid_record(**sections), self.clone / "runs")

    def state(self) -> dict[str, bytes | str]:
        """All that sharing must leave alone: every file of the clone, its refs and settings among them."""
        files = (path for path in self.clone.rglob("*") if "__pycache__" not in path.parts)
        found = {str(p.relative_to(self.clone)): p.read_bytes() for p in files if p.is_file() and not p.is_symlink()}
        return found | {"status": self.git("status", "--porcelain", "--branch"), "refs": self.git("for-each-ref")}

    def branches(self, bare: Path) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads", where=bare).splitlines()


def environment(home: Path) -> dict[str, str]:
    """Of a user who has nothing but what a test gives: no settings of this machine's git, no `gh`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GH_", "GITHUB_", "SSH_", "EMAIL"))}
    programs = home / "bin"
    programs.mkdir(parents=True)
    (programs / "git").symlink_to(shutil.which("git") or "git")
    return kept | {
        "HOME": str(home),
        "NANOMARK_CACHE": str(home.parent / "cache"),
        "PATH": f"{programs}:/usr/bin:/bin",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_OPTIONAL_LOCKS": "0",  # `git status` would write the index that a test looks at
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "XYZ+5",  # a commit must not tell it
    }


def published(folder: Path) -> Forge:
    """The working tree's `reports` and `impl` as a project with one commit, forked."""
    made = Forge(folder, environment(folder / "home"))
    tree = folder / "tree"
    for package in ("reports", "impl"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "data.js"))
    (tree / ".gitignore").write_text("/runs/\n__pycache__/\n")
    made.git("init", "--quiet", "--initial-branch=main", where=tree)
    identify(made, *ZAPHOD)
    made.git("add", "--all", where=tree)
    made.git("commit", "--quiet", "--message=one", where=tree)
    for bare in (made.project, made.fork):
        made.git("clone", "--quiet", "--bare", tree, bare, where=folder)
    shutil.rmtree(tree)
    return made


def hosted(forge: Forge) -> dict[str, str]:
    """Environment in which host.example, asked over SSH, has karl's project and zaphod's fork; only it is there."""
    for owner, bare in (("karl", forge.project), ("zaphod", forge.fork)):
        (forge.folder / "host" / owner).mkdir(parents=True)
        (forge.folder / "host" / owner / "nanomark.git").symlink_to(bare)
    for name, owner in (("upstream", "karl"), ("origin", "zaphod")):
        forge.git("remote", "set-url", name, f"git@host.example:{owner}/nanomark.git")
    ssh = program(forge, "ssh-to-host", f'cd {forge.folder}/host\nfor command; do :; done\neval "$command"\n')
    return {"GIT_SSH_COMMAND": str(ssh)}


def program(forge: Forge, name: str, script: str) -> Path:
    """A shell script first on the user's PATH."""
    path = forge.folder / "home" / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    return path


def hook(bare: Path, script: str) -> None:
    """What `bare` runs before it takes a push."""
    path = bare / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


def identify(forge: Forge, name: str, email: str) -> None:
    """In the user's global settings."""
    for key, value in {"name": name, "email": email}.items():
        forge.git("config", "--global", f"user.{key}", value, where=forge.folder)


@pytest.fixture(scope="session")
def forged(tmp_path_factory) -> Forge:
    """A project and its fork, to be copied."""
    return published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def forge(forged, tmp_path) -> Forge:
    """Copies of both bare repositories, a clean clone with both as remotes, and an identity."""
    made = Forge(tmp_path, environment(tmp_path / "home"))
    for name in ("project.git", "fork.git"):
        shutil.copytree(forged.folder / name, tmp_path / name)
    identify(made, *ZAPHOD)
    made.git("clone", "--quiet", "--origin", "upstream", made.project, made.clone, where=tmp_path)
    made.git("remote", "add", "origin", made.fork)
    return made


def only_branch(forge: Forge) -> str:
    (name,) = set(forge.branches(forge.fork)) - {"main"}
    return name


def changed(forge: Forge, revision: str) -> list[str]:
    return forge.git("diff-tree", "-r", "--no-commit-id", "--name-status", revision, where=forge.fork).splitlines()


def commit_on_top(forge: Forge, bare: Path, path: str, text: str, name: str = "main") -> None:
    """Someone else's commit to `name` of `bare`, on main."""
    tree = forge.folder / "elsewhere"
    forge.git("clone", "--quiet", bare, tree, where=forge.folder)
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)
    forge.git("add", "--all", where=tree)
    forge.git("commit", "--quiet", "--message=theirs", where=tree)
    forge.git("push", "--quiet", "origin", f"HEAD:refs/heads/{name}", where=tree)
    shutil.rmtree(tree)

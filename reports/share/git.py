"""Git in the user's checkout, reading its settings and objects and writing neither files, index nor refs of it.

New objects and the index of a commit to be made live in a scratch folder. Test with
`pytest -m meta bench/meta/test_share_git.py`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from reports.share import process
from reports.share.error import ShareError

QUICK_S, NETWORK_S = 30.0, 180.0
NOTHING: Mapping[str, str] = {}
# What would send git to another repository, as inside a hook.
FOREIGN = ("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR")
FOREIGN += ("NAMESPACE", "PREFIX", "QUARANTINE_PATH", "EDITOR", "TRACE")
SETTINGS = {
    "core.hooksPath": os.devnull,  # the user's hooks are for the user's own commits
    "core.splitIndex": "false",  # would write beside the user's index
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",  # an address is never a command
    "push.gpgSign": "false",
    "user.useConfigOnly": "true",  # else a missing e-mail is made of user and host name
}


class GitError(ShareError):
    """Git ended with an error; `said` is what it wrote."""

    def __init__(self, thing: str, said: str):
        self.said = said
        lines = [line for line in said.splitlines() if line.strip() and not line.startswith("hint:")]
        super().__init__(thing, lines[-1].removeprefix("fatal: ") if lines else "failed", "see what git says")


class Git:
    """`git(...)` is the output of one command in the checkout at `root`."""

    def __init__(self, root: Path, scratch: Path):
        self.root, self.scratch = root, scratch
        inherited = {k: v for k, v in os.environ.items() if k.removeprefix("GIT_") not in FOREIGN or k == "EDITOR"}
        self.environment = inherited | {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "SSH_ASKPASS_REQUIRE": "never",
            "LC_ALL": "C",
        }
        if self("rev-parse", "--show-toplevel") != os.path.realpath(root):
            raise GitError(str(root), "not the top of a git checkout")
        objects = root / self("rev-parse", "--git-path", "objects")
        (scratch / "objects").mkdir()
        self.environment |= {
            "GIT_INDEX_FILE": str(scratch / "index"),
            "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
            # Quoted, because a colon would part it in two.
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": json.dumps(str(objects), ensure_ascii=False),
        }

    def __call__(
        self, *arguments: str, given: bytes = b"", limit_s: float = QUICK_S, environment: Mapping[str, str] = NOTHING
    ) -> str:
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = ["git", *settings, *arguments]
        name = f"git {arguments[0]}"
        ended = process.run(command, name, self.root, {**self.environment, **environment}, limit_s, given)
        if ended.status:
            raise GitError(name, ended.err)
        return ended.text()

"""`python -m reports share` beside a host that refuses, hangs or takes pull requests, and when it is killed half way.

Run with `pytest -m meta bench/meta/test_share_host.py`.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from bench.meta import forge as forges
from bench.meta.forge import Forge, hook, hosted, only_branch, program
from reports.share import branch
from reports.share.address import ANONYMOUS, Route
from reports.share.error import ShareError
from reports.share.git import Git
from reports.share.parcel import Parcel

pytestmark = pytest.mark.meta


def test_an_issue_is_the_way_where_there_is_no_identity(forge):
    over_ssh = hosted(forge)
    (forge.folder / "home" / "gitconfig").write_text("")
    report = forge.report()
    status, output = forge.share(report, "--yes", **over_ssh)
    assert status == 1 and "https://host.example/karl/nanomark/issues/new?title=report" in output, output
    assert f"attach {report}" in output


GH = """printf '%s\\n' "$*" | tr '\\n' ' ' >> {log}; echo >> {log}
case "$1 $2" in
"auth status") exit {auth} ;;
"pr list") echo "{listed}" ;;
"pr create") {create} ;;
esac
"""


def fake_gh(forge: Forge, auth: int = 0, listed: str = "", create: str = "echo https://host.example/pull/7") -> Path:
    log = forge.folder / "gh.log"
    log.unlink(missing_ok=True)
    program(forge, "gh", GH.format(log=log, auth=auth, listed=listed, create=create))
    return log


def test_a_pull_request_is_opened_through_gh_once(forge):
    over_ssh, report = hosted(forge), forge.report()
    compare = f"https://host.example/karl/nanomark/compare/main...zaphod:report-{report.stem}?expand=1"
    log = fake_gh(forge, auth=1)
    status, output = forge.share(report, "--yes", **over_ssh)
    assert status == 0 and f"open a pull request: {compare}" in output, output
    assert log.read_text().split() == ["auth", "status", "--hostname", "host.example"]

    log = fake_gh(forge, create="echo no scope >&2; exit 1")
    status, output = forge.share(report, "--yes", **over_ssh)
    assert status == 0 and "gh: no scope; open the pull request by the address below" in output and compare in output

    log = fake_gh(forge)
    status, output = forge.share(report, "--yes", **over_ssh)
    assert status == 0 and "pull request: https://host.example/pull/7" in output and compare not in output
    *_, created = log.read_text().splitlines()
    assert created.startswith(
        f"pr create --repo host.example/karl/nanomark --base main --head zaphod:report-{report.stem} --title "
    )
    log = fake_gh(forge, listed="https://host.example/pull/7")
    status, output = forge.share(report, "--yes", **over_ssh)
    assert status == 0 and "pull request: https://host.example/pull/7" in output and "create" not in log.read_text()


def test_no_network(forge):
    hosted(forge)
    program(forge, "ssh-to-host", "echo 'ssh: Could not resolve host host.example' >&2; exit 255\n")
    status, output = forge.share(forge.report(), "--yes", GIT_SSH_COMMAND="ssh-to-host")
    assert status == 1 and "git@host.example:karl/nanomark.git: no connection; see to the network" in output, output
    assert "--retry" in output and "/karl/nanomark/issues/new?" in output and len(forge.backlog) == 1


def test_a_silent_host_is_left_in_time_and_nothing_goes_on_running(forge, monkeypatch, tmp_path):
    over_ssh, report, pid = hosted(forge), forge.report(), tmp_path / "pid"
    program(forge, "ssh-to-host", f"echo $$ > {pid}; exec sleep 60\n")
    for name, value in {**forge.environment, **over_ssh}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(branch, "NETWORK_S", 1.0)
    (tmp_path / "scratch").mkdir()
    git = Git(forge.clone, tmp_path / "scratch")
    with pytest.raises(ShareError, match="git ls-remote: no end after 1 s; see to the network"):
        branch.deliver(git, Parcel.of(report), Route.of(git), ANONYMOUS)
    assert gone(int(pid.read_text()))


def gone(pid: int) -> bool:
    """Within five seconds; a zombie, which a container's first process may leave, does nothing any more."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_between_commit_and_push(forge, stop, tmp_path):
    report, git, pid = forge.report(), shutil.which("git"), tmp_path / "pid"
    before = forge.state()
    program(forge, "git", f'case "$*" in *" push "*) echo $$ > {pid}; exec sleep 60;; esac\nexec {git} "$@"\n')
    with forge.start(report, "--yes") as child:
        end = time.monotonic() + forges.TIMEOUT_S
        while not (pid.exists() and pid.read_text()) and time.monotonic() < end:
            time.sleep(0.02)
        child.send_signal(stop)
        if stop == signal.SIGKILL:
            child.wait(forges.TIMEOUT_S)
            os.kill(int(pid.read_text()), signal.SIGKILL)
        output, _ = child.communicate(timeout=forges.TIMEOUT_S)
    assert gone(int(pid.read_text()))
    assert ("share: interrupted" in output) == (stop == signal.SIGINT) and "Traceback" not in output
    assert forge.state() == before and len(forge.backlog) == 1 and forge.branches(forge.fork) == ["main"]
    program(forge, "git", f'exec {git} "$@"\n')
    status, output = forge.share("--retry", "--yes")
    assert status == 0 and only_branch(forge) == f"report-{report.stem}" and not forge.backlog, output


def test_killed_while_the_host_takes_it(forge, tmp_path):
    report, marker = forge.report(), tmp_path / "marker"
    hook(forge.fork, f"touch {marker}; while [ -e {marker} ]; do sleep 0.02; done\n")
    with forge.start(report, "--yes") as child:
        end = time.monotonic() + forges.TIMEOUT_S
        while not marker.exists() and time.monotonic() < end:
            time.sleep(0.02)
        child.kill()
        child.communicate()
    marker.unlink()
    while len(forge.branches(forge.fork)) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    status, output = forge.share("--retry", "--yes")
    assert status == 0 and "there already" in output and not forge.backlog, output
    assert len(forge.git("rev-list", f"main..{only_branch(forge)}", where=forge.fork).splitlines()) == 1

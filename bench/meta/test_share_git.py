"""`python -m reports share` from a clean clone to bare repositories: it arrives once, or says why not.

Run with `pytest -m meta bench/meta/test_share_git.py`.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from bench.meta import forge as forges
from bench.meta.forge import Forge, hook, hosted, program
from reports.share import branch
from reports.share.address import ANONYMOUS, Route
from reports.share.error import ShareError
from reports.share.git import Git
from reports.share.parcel import Parcel

pytestmark = pytest.mark.meta


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Forge:
    return forges.published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def forge(published, tmp_path) -> Forge:
    """Copies of both bare repositories, a clean clone with both as remotes, and an identity."""
    made = Forge(tmp_path, forges.environment(tmp_path / "home"))
    for name in ("project.git", "fork.git"):
        shutil.copytree(published.folder / name, tmp_path / name)
    forges.identify(made, *forges.ZAPHOD)
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


def test_a_report_arrives_and_the_checkout_stays_as_it_was(forge):
    commit_on_top(forge, forge.project, "news.txt", "the project went on")  # neither the clone nor the fork has it
    report = forge.report()
    forge.git("switch", "--quiet", "--detach")
    (forge.clone / "reports" / "chips.py").write_text("half a thought")
    (forge.clone / "staged.txt").write_text("staged")
    forge.git("add", "staged.txt")
    (forge.clone / ".git" / "hooks" / "pre-push").write_text("#!/bin/sh\nexit 1\n")
    (forge.clone / ".git" / "hooks" / "pre-push").chmod(0o755)
    forge.git("checkout", "--quiet", "--", "reports/chips.py")
    (forge.clone / "notes.txt").write_text("untracked")
    before = forge.state()
    with forge.start(report) as child:  # as a user types it
        output, _ = child.communicate("y\n", timeout=forges.TIMEOUT_S)
    assert child.returncode == 0, output
    assert forge.state() == before and not forge.backlog
    name = only_branch(forge)
    path = f"reports/data/amd-epyc-9554-64-core-processor/{report.name}"
    assert changed(forge, name) == [f"A\t{path}"] and name == f"report-{report.stem}"
    assert forge.git("show", f"{name}:{path}", where=forge.fork) == report.read_text().strip()
    assert forge.git("rev-parse", f"{name}^", where=forge.fork) == forge.git("rev-parse", "main", where=forge.project)
    people = forge.git("log", "-1", "--format=%an <%ae> %cn <%ce> %ad", name, where=forge.fork)
    assert people.startswith("Zaphod <zaphod@heart.example> Zaphod <zaphod@heart.example> ") and people.endswith(
        "+0000"
    )
    assert f"{report.stat().st_size} bytes" in output and "Zaphod <zaphod@heart.example>" in output and path in output
    assert forge.branches(forge.project) == ["main"]

    status, output = forge.share(report, "--yes")  # the same again
    assert status == 0 and "there already" in output and only_branch(forge) == name, output
    forge.git("fetch", "--quiet", forge.fork, f"{name}:main", where=forge.project)  # merged
    status, output = forge.share(report, "--yes")
    assert status == 0 and "in the project already" in output, output
    assert forge.state() == before


@pytest.mark.parametrize(("arguments", "answer", "said"), [
    (("--dry-run",), "y\n", "dry run: nothing was done"),
    ((), "n\n", "nothing left this machine"),
    ((), "", "--yes agrees beforehand"),
])  # fmt: skip
def test_nothing_leaves_unless_agreed_to(forge, arguments, answer, said):
    report = forge.report(hardware={"chip": "Unheard of"})
    before = forge.state()
    status, output = forge.share(report, *arguments, answer=answer)
    assert (
        said in output
        and "pending" in output
        and "Unheard of" in output
        and status == int("--dry-run" not in arguments)
    )
    assert forge.branches(forge.fork) == ["main"] and forge.state() == before
    assert not (forge.folder / "cache").exists()


def test_what_is_rejected_is_not_shared(forge):
    report = forge.report()
    report.write_text(report.read_text().replace('"nats": 1000000.0', '"nats": 10.0'))
    status, output = forge.share(report, "--yes")
    assert status == 1 and "rejected: " in output and "bits per byte" in output and "not shared" in output
    assert forge.branches(forge.fork) == ["main"] and "leaves this machine" not in output


def test_another_file_of_that_name_is_an_error(forge):
    report = forge.report()
    path = f"reports/data/amd-epyc-9554-64-core-processor/{report.name}"
    commit_on_top(forge, forge.fork, path, "{}", name=f"report-{report.stem}")
    there = forge.git("for-each-ref", where=forge.fork)
    status, output = forge.share(report, "--yes")
    assert status == 1 and f"{path}: branch report-{report.stem}: has a file of this name that is not" in output, output
    assert len(forge.backlog) == 1 and forge.git("for-each-ref", where=forge.fork) == there
    forge.git("branch", "--quiet", "--force", f"report-{report.stem}", "main", where=forge.fork)
    status, output = forge.share("--retry", "--yes")
    assert status == 1 and "without the report; delete that branch there" in output
    commit_on_top(forge, forge.project, path, "{}")
    status, output = forge.share("--retry", "--yes")
    assert status == 1 and "the project's main: has a file of this name" in output


def test_a_rejected_push_is_kept_and_retried(forge):
    report = forge.report()
    hook(forge.fork, "echo closed on Thursdays >&2; exit 1\n")
    before = forge.state()
    status, output = forge.share(report, "--yes")
    assert status == 1 and "the push was rejected: pre-receive hook declined (closed on Thursdays)" in output, output
    assert "python -m reports share --retry" in output and str(forge.backlog[0]) in output
    assert forge.branches(forge.fork) == ["main"] and forge.state() == before
    report.unlink()
    hook(forge.fork, "exit 0\n")
    status, output = forge.share("--retry", "--yes")
    assert status == 0 and only_branch(forge) == f"report-{report.stem}" and not forge.backlog, output
    status, output = forge.share("--retry", "--yes")
    assert status == 0 and "nothing waits in" in output


def test_no_remote_no_repository_no_branch_no_checkout(forge):
    report = forge.report()
    shutil.rmtree(forge.fork)
    status, output = forge.share(report, "--yes")
    assert status == 1 and f"{forge.fork}: there is no repository; see `git remote -v`" in output, output
    forge.git("init", "--quiet", "--bare", forge.fork)
    forge.git("remote", "remove", "upstream")
    assert f"{forge.fork}: no branch there to start from" in forge.share(report, "--yes")[1]
    status, output = forge.share(report, "--yes", "--remote", "nobody")
    assert status == 1 and "--remote nobody: no such remote (there are: origin)" in output
    forge.git("remote", "remove", "origin")
    status, output = forge.share(report, "--yes")
    assert status == 1 and "it has no remote; name yours: --remote NAME-or-URL" in output and str(report) in output
    status, output = forge.share(report, "--yes", "--remote", forge.project)
    assert status == 0 and forge.branches(forge.project) == ["main", f"report-{report.stem}"]
    shutil.rmtree(forge.clone / ".git")
    status, output = forge.share(report, "--yes")
    assert status == 1 and "not a git repository" in output and f"attach {report}" in output, output
    assert "open an issue at the project's page" in output
    page = 'urls = 1\n[project.urls]\nRepository = "https://host.example/karl/nanomark"\n'
    (forge.clone / "pyproject.toml").write_text(page)
    status, output = forge.share(report, "--yes", "--contributor", "Ford")
    (named,) = forge.backlog
    assert "https://host.example/karl/nanomark/issues/new?" in output and f"attach {named}" in output
    assert '"contributor": "Ford"' in named.read_text() and '"contributor": null' in report.read_text()
    (forge.folder / "home" / "bin" / "git").unlink()
    status, output = forge.share(report, "--yes", PATH=str(forge.folder / "home" / "bin"))
    assert status == 1 and "git: cannot be run (No such file or directory); install it" in output


def test_a_commit_names_the_user_or_nobody_never_the_machine(forge):
    report = forge.report()
    for settings in ("", "[user]\nemail = zaphod@heart.example\n"):  # the other half is the system's to guess
        (forge.folder / "home" / "gitconfig").write_text(settings)
        status, output = forge.share(report, "--yes")
        assert status == 1 and "git identity: none is set" in output and "--anonymous" in output, output
    assert forge.branches(forge.fork) == ["main"]
    status, output = forge.share(report, "--yes", "--anonymous")
    assert status == 0, output
    people = forge.git("log", "-1", "--format=%an %ae %cn %ce", only_branch(forge), where=forge.fork)
    assert people == " ".join([ANONYMOUS.name, ANONYMOUS.email] * 2)


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
    """Within a second; a zombie, which a container's first process may leave, does nothing any more."""
    for _ in range(100):
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


def test_a_shallow_clone_shares_too(forge):
    commit_on_top(forge, forge.project, "news.txt", "a second commit")
    shutil.rmtree(forge.clone)
    forge.git("clone", "--quiet", "--depth=1", f"file://{forge.project}", forge.clone, where=forge.folder)
    report = forge.report()
    before = forge.state()
    status, output = forge.share(report, "--yes")
    assert status == 0 and f"report-{report.stem}" in forge.branches(forge.project), output
    assert forge.state() == before
    status, output = forge.share(report, "--yes", "--remote", forge.fork)
    assert status == 1 and "this checkout is shallow; git fetch --unshallow" in output, output


def test_a_remote_is_never_a_command_or_an_option(forge):
    report, marker = forge.report(), forge.folder / "marker"
    for remote in (f"ext::touch {marker}", f"--upload-pack=touch {marker};:", f"--receive-pack=touch {marker};:"):
        status, output = forge.share(report, "--yes", f"--remote={remote}")
        assert status == 1 and "Traceback" not in output, output
    assert not marker.exists()


def test_called_wrongly(forge):
    assert forge.share()[0] == forge.share("--retry", "x.json")[0] == 2
    status, output = forge.share("absent.json")
    assert status == 1 and "absent.json: rejected, not shared" in output

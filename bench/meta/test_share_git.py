"""`python -m reports share` from a clean clone to bare repositories: it arrives once, or says why not.

Run with `pytest -m meta bench/meta/test_share_git.py`.
"""

import shutil

import pytest

from bench.meta import forge as forges
from bench.meta.forge import changed, commit_on_top, hook, only_branch
from reports.share.address import ANONYMOUS

pytestmark = pytest.mark.meta


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

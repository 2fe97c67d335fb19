"""A pull request may add reports and nothing else; none of it is run, and none of its words get out of their box.

Run with `pytest -m meta bench/meta/test_incoming.py`.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.meta import forge as forges
from bench.meta.command import ROOT
from bench.meta.forge import Forge
from bench.meta.records import valid_record
from reports import incoming
from reports.check import ACCEPTED, PENDING, REJECTED
from reports.incoming import Judged, comment, judge
from reports.record import save, to_json
from reports.share.error import ShareError

pytestmark = pytest.mark.meta
WORKFLOW = ROOT / ".github" / "workflows" / "reports.yml"
SLUG = "amd-epyc-9554-64-core-processor"
PAYLOAD = "``` @everyone #1 </details><script>alert(1)</script> ![x](https://x.example/y) \u202e\n# head"


@pytest.fixture
def request_(tmp_path) -> Forge:
    """A repository at `main` with one report, checked out at `request`; `folder`/clone is its tree."""
    made = Forge(tmp_path, forges.environment(tmp_path / "home"))
    made.clone.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    forges.identify(made, *forges.ZAPHOD)
    add(made, run={"seed": 1})
    (made.clone / "README.md").write_text("nanomark")
    commit(made)
    made.git("switch", "--quiet", "--create", "request")
    return made


def add(forge: Forge, **sections) -> Path:
    return save(valid_record(**sections), forge.clone / "reports" / "data")


def commit(forge: Forge) -> None:
    forge.git("add", "--all", "--force")
    forge.git("commit", "--quiet", "--message=x", "--allow-empty")


def judged(forge: Forge) -> list[Judged]:
    commit(forge)
    return judge(forge.clone, "main", "request")


def only(forge: Forge) -> tuple[str, str]:
    """(verdict, reasons) of the only path."""
    (one,) = judged(forge)
    return one.verdict, " / ".join(one.reasons)


def test_new_reports_get_their_verdicts(request_):
    path = add(request_)
    pending = add(request_, hardware={"chip": "Unheard of"})
    found = {Path(one.path).name: one for one in judged(request_)}
    assert found[path.name] == Judged(f"reports/data/{SLUG}/{path.name}", ACCEPTED)
    assert found[pending.name].verdict == PENDING and "Unheard of" in found[pending.name].reasons[0]
    said = comment(list(found.values()))
    assert "1 accepted, 1 pending" in said and "waits for a maintainer" in said and "Nothing of this request" in said


def test_main_going_on_is_not_the_requests_change(request_):
    add(request_)
    commit(request_)
    request_.git("switch", "--quiet", "main")
    (request_.clone / "README.md").write_text("more")
    commit(request_)
    request_.git("switch", "--quiet", "request")
    assert [one.verdict for one in judged(request_)] == [ACCEPTED]


@pytest.mark.parametrize(
    "path",
    [
        "README2.md",
        "reports/check.py",
        "conftest.py",
        ".github/workflows/x.yml",
        f"reports/data/{SLUG}/notes.md",
        f"reports/data/{SLUG}/2026-11-21-torch-cpu-0123456789ab.json.py",
        f"reports/data/{SLUG}/deeper/2026-11-21-torch-cpu-0123456789ab.json",
        "reports/data/2026-11-21-torch-cpu-0123456789ab.json",
        "reports/data/Café/2026-11-21-torch-cpu-0123456789ab.json",
        f"reports/data/{SLUG}/2026-11-21-torch-cpu-0123456789ab.json\n",
        f"reports/data/{SLUG}/٢٠٢٦-11-21-torch-cpu-0123456789ab.json",
        f"x/reports/data/{SLUG}/2026-11-21-torch-cpu-0123456789ab.json",
        "reports/data/-x/2026-11-21-torch-cpu-0123456789ab.json",
    ],
)  # fmt: skip
def test_another_place_is_refused(request_, path):
    file = request_.clone / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_json(valid_record()))
    verdict, reasons = only(request_)
    assert verdict == REJECTED and reasons.startswith("is no place of a report")


def test_what_is_there_stays_as_it_is(request_):
    (existing,) = (request_.clone / "reports" / "data").glob("*/*.json")
    text = existing.read_text()
    existing.write_text(text + " ")
    assert only(request_) == (REJECTED, "is changed; reports are only ever added")
    existing.write_text(text)
    existing.rename(existing.with_name(f"9{existing.name[1:]}"))
    assert {one.reasons[0].split(";")[0] for one in judged(request_)} >= {"is taken away"}
    assert len(judged(request_)) == 2


def test_only_plain_files(request_, tmp_path):
    path = add(request_)
    content = path.read_text()
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert only(request_) == (REJECTED, "is a symbolic link; a report is a plain file")
    path.unlink()
    path.write_text(content)
    path.chmod(0o755)
    assert only(request_) == (REJECTED, "is an executable file; a report is a plain file")
    path.unlink()
    request_.git("rm", "--quiet", "--cached", path)
    head = request_.git("rev-parse", "HEAD")
    request_.git("update-index", "--add", "--cacheinfo", f"160000,{head},reports/data/{SLUG}/{path.name}")
    request_.git("commit", "--quiet", "--message=x")
    (one,) = judge(request_.clone, "main", "request")
    assert one.reasons == ("is a submodule; a report is a plain file",)


def test_a_link_in_place_of_the_folder(request_):
    (request_.clone / "reports" / "data" / "linked").symlink_to("../..")
    assert only(request_)[0] == REJECTED


def test_a_hundred_megabytes_are_not_read(request_, monkeypatch):
    path = add(request_)
    with open(path, "r+b") as file:
        file.truncate(100 * 2**20)
    asked = []
    monkeypatch.setattr(incoming, "_git", lambda *a, git=incoming._git: asked.append(a[1:]) or git(*a))
    assert only(request_) == (REJECTED, f"has {100 * 2**20} bytes, more than 2097152; a report is smaller")
    assert not [words for words in asked if words[:2] == ("cat-file", "blob")]


def test_a_sound_report_in_a_wrong_place(request_):
    path = add(request_)
    other = request_.clone / "reports" / "data" / "apple-m5-max" / path.name
    other.parent.mkdir()
    path.rename(other)
    verdict, reasons = only(request_)
    assert verdict == REJECTED and f"hardware.chip belongs into the folder {SLUG}" in reasons


def test_a_name_that_is_not_the_contents(request_):
    path = add(request_)
    path.rename(path.with_name("2026-11-21-torch-cpu-0123456789ab.json"))
    verdict, reasons = only(request_)
    assert verdict == REJECTED and "does not fit the content" in reasons


def test_an_address_of_mail_is_refused(request_):
    add(request_, consent={"contributor": "ford@h2g2.example"})
    verdict, reasons = only(request_)
    assert verdict == REJECTED and "privacy: consent.contributor holds an e-mail address" in reasons


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"schema_version": "' + b"@x ```" * 50 + b'"}']
)
def test_what_is_no_report_is_rejected(request_, content, tmp_path):
    path = add(request_)
    path.write_bytes(content)
    verdict, reasons = only(request_)
    assert verdict == REJECTED and reasons.startswith("schema: ") and str(tmp_path) not in reasons


def outside_the_box(said: str) -> str:
    """A comment without its code block, whose fence must close where it should."""
    fence = re.search(r"(?m)^(`{3,})text$", said)
    assert fence
    before, inside, after = re.split(rf"(?m)^{fence[1]}(?:text)?$", said)
    assert all(line.isascii() and line.isprintable() for line in inside.strip("\n").split("\n"))
    return before + after


def test_words_of_a_request_stay_in_their_box(request_):
    chip = PAYLOAD[:100]
    add(request_, hardware={"chip": chip})
    odd = request_.clone / f"`` {PAYLOAD}".replace("/", "|")
    odd.write_text("x")
    found = judged(request_)
    said = comment(found)
    assert len(found) == 2 and "alert(1)" in said
    rest = outside_the_box(said)
    assert rest == "**`python -m reports check`**: 1 pending, 1 rejected\n\n\n\n" + rest[rest.index("A rejected") :]
    assert not re.search(r"@|script|```|x\.example", rest)


def test_a_comment_has_an_end(request_):
    for i in range(incoming.MOST + 5):
        (request_.clone / f"{i:02}{'`' * (i % 7)}{'x' * 150}").write_text("x")
    found = judged(request_)
    assert len(found) == incoming.MOST + 1 and "at most 50 in one request" in found[-1].reasons[0]
    many = comment([Judged(f"{i}", REJECTED, ("`" * 400,) * 20) for i in range(500)])
    assert len(many) < 65_536
    outside_the_box(many)


def test_nothing_is_run(request_):
    """Filters, attributes, hooks and text conversion of the request are settings; as data they do nothing."""
    path = add(request_)
    marker = request_.folder / "marker"
    (request_.clone / ".gitattributes").write_text("*.json filter=evil diff=evil\n")
    commit(request_)
    for key in ("filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "diff.evil.command", "diff.external"):
        request_.git("config", key, f"touch {marker}; cat")
    marker.unlink(missing_ok=True)
    verdicts = {one.path: one.verdict for one in judge(request_.clone, "main", "request")}
    assert verdicts == {".gitattributes": REJECTED, f"reports/data/{SLUG}/{path.name}": ACCEPTED}
    assert not marker.exists()


def test_as_the_workflow_calls_it(request_):
    add(request_)
    commit(request_)
    command = [sys.executable, "-m", "reports.incoming"]
    told = {"capture_output": True, "text": True, "env": {**request_.environment, "PYTHONPATH": str(ROOT)}}
    ended = subprocess.run([*command, "main", "request"], cwd=request_.clone, **told)
    assert ended.returncode == 0 and "1 accepted" in ended.stdout, ended.stderr
    (request_.clone / "x").write_text("x")
    commit(request_)
    assert incoming.main(["only one"]) == 2
    for revision in ("absent", "--output=x", "-h"):
        with pytest.raises(ShareError, match="are both revisions"):
            judge(request_.clone, "main", revision)
    ended = subprocess.run([*command, "main", "request"], cwd=request_.clone, **told)
    assert ended.returncode == 1 and "1 accepted, 1 rejected" in ended.stdout


@pytest.mark.fast
def test_the_workflow_runs_nothing_of_a_request():
    text = WORKFLOW.read_text()
    document = yaml.load(text, yaml.BaseLoader)
    assert document["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert list(document["on"]) == ["pull_request_target"]
    (job,) = document["jobs"].values()
    assert "permissions" not in job and "secrets." not in text
    (checkout,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert checkout["with"]["persist-credentials"] == "false"
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert len(runs) == 4 and not any("${{" in run for run in runs)
    fetches = [run for run in runs if "refs/pull" in run]
    assert fetches == ['git fetch --no-tags --no-recurse-submodules origin "refs/pull/$NUMBER/head"']
    assert not re.search(r"git (checkout|switch|merge|rebase|reset|worktree|apply|am|restore)|gh pr checkout", text)
    others = [WORKFLOW.with_name(name).read_text() for name in ("ci.yml", "macos.yml")]
    pinned = {action for other in others for action in re.findall(r"uses: (\S+)", other)}
    assert set(re.findall(r"uses: (\S+)", text)) <= pinned

"""What a report says never chooses an address, a name or markup; what is shown is what leaves.

Run with `pytest -m fast bench/meta/test_share.py`.
"""

import json
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from bench.meta.records import failed_record, valid_record
from impl.data.prepare import default_cache
from reports.fence import fenced
from reports.record import ReportError, content_hash, save
from reports.share import backlog, request
from reports.share.address import Route, Web
from reports.share.branch import explained
from reports.share.error import ShareError, plain
from reports.share.git import GitError
from reports.share.parcel import Parcel

pytestmark = [pytest.mark.fast, pytest.mark.meta]
PAGE = Web("host.example", "karl", "nanomark")


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/karl/nanomark.git",
        "https://karl:secret@host.example/karl/nanomark",
        "https://host.example:8443/karl/nanomark/",
        "git@host.example:karl/nanomark.git",
        "ssh://git@host.example:22/karl/nanomark.git",
    ],
)
def test_a_remote_has_a_page_and_no_credentials_on_it(url):
    assert str(Web.of(url)) == "https://host.example/karl/nanomark"
    assert "secret" not in plain(url)


@pytest.mark.parametrize(
    "url",
    ["/srv/nanomark.git", "../nanomark", "file:///srv/a/b", "C:\\a\\b", "https://host.example/a/b/c", "ext::sh -c a/b",
     "https://host.example/a/b?x=1", "https://host.example/a/<script>", "localhost:a/b", ""],
)  # fmt: skip
def test_a_folder_has_no_page(url):
    assert Web.of(url) is None


def remotes(**urls: str):
    """As much of git as a route asks."""

    def git(*arguments):
        return "\n".join(urls) if arguments == ("remote",) else urls[arguments[-1]]

    git.root = "checkout"
    return git


def test_route_of_the_remotes_there_are():
    assert Route.of(remotes(origin="o")) == Route("o", "o")
    assert Route.of(remotes(origin="o", upstream="u")) == Route("o", "u")
    assert Route.of(remotes(origin="o", fork="f")) == Route("f", "o")
    assert Route.of(remotes(mine="m")) == Route("m", "m")
    assert Route.of(remotes(origin="o", mine="m"), "mine") == Route("m", "o")
    assert Route.of(remotes(origin="o"), "https://h.example/a/b") == Route("https://h.example/a/b", "o")
    for git, asked, said in (
        (remotes(), None, "it has no remote"),
        (remotes(a="1", b="2"), None, "none of its 2 remotes is called fork or origin"),
        (remotes(origin="o"), "mine", "no such remote .there are: origin."),
    ):
        with pytest.raises(ShareError, match=said):
            Route.of(git, asked)


def test_compare_address_leads_from_the_fork_to_the_project():
    fork, project = "git@host.example:zaphod/nanomark.git", "https://host.example/karl/nanomark"
    assert (
        request.compare_url(Route(fork, project), "main", "report-1")
        == f"{PAGE}/compare/main...zaphod:report-1?expand=1"
    )
    assert request.compare_url(Route(fork, fork), "main", "report-1").endswith("/zaphod/nanomark/pull/new/report-1")
    assert request.compare_url(Route("/srv/fork.git", project), "main", "report-1") is None


HOSTILE = "@everyone ``` <img src=x> &body=evil#x \U0001f600\n[a](javascript:b)"


def test_an_issue_address_fits_and_says_what_it_says(tmp_path):
    for text in ("AMD EPYC 9554 64-Core Processor", HOSTILE[:100], "\U0001f600" * 49 + "amd"):
        parcel = Parcel.of(save(valid_record(hardware={"chip": text}), tmp_path))
        url = request.issue_url(PAGE, parcel)
        assert len(url) <= request.LONGEST and url.isascii()
        parts = urlsplit(url)
        assert (parts.netloc, parts.path, parts.fragment) == ("host.example", "/karl/nanomark/issues/new", "")
        fields = parse_qs(parts.query)
        assert set(fields) == {"title", "body"} and parcel.path.name in fields["body"][0]
    assert "1.4439" in unquote(request.issue_url(PAGE, Parcel.of(save(valid_record(), tmp_path))))
    assert "none: the run failed" in unquote(request.issue_url(PAGE, Parcel.of(save(failed_record(), tmp_path))))


def test_an_issue_address_too_long_loses_lines_of_its_summary(tmp_path, monkeypatch):
    parcel = Parcel.of(
        save(valid_record(software={"frameworks": {"x" * 900: "y" * 900}}, conformance=VERSIONS), tmp_path)
    )
    monkeypatch.setattr(request, "LONGEST", 700)
    url = request.issue_url(PAGE, parcel)
    assert len(url) <= 700 and parcel.path.name in url and "chip" in url and "sha256" not in url


VERSIONS = {"versions": {"x" * 900: "y" * 900}}


@pytest.mark.parametrize("text", [HOSTILE, "```", "``````````", "~~~\n```\n", "a`b", "\u202e\x1b[31m\r\n"])
def test_fence_cannot_be_closed_from_inside(text):
    opening, *inside, closing = fenced([text, "x"]).split("\n")
    assert len(inside) == 2 and opening == f"{closing}text" and set(closing) == {"`"} and len(closing) >= 3
    assert not any(closing in line for line in inside) and all(line.isascii() and line.isprintable() for line in inside)


def texts(node) -> set[str]:
    if isinstance(node, dict):
        return {*node, *(text for value in node.values() for text in texts(value))}
    if isinstance(node, list):
        return {text for value in node for text in texts(value)}
    return {node} if isinstance(node, str) else set()


def test_every_text_that_leaves_is_shown(tmp_path):
    odd = {"environment": {"MLX_'[bold]": "a\x1b[31m\u202eb"}, "os": "<script>alert(1)</script>"}
    parcel = Parcel.of(save(valid_record(software=odd), tmp_path), contributor="Ford Prefect")
    shown = "\n".join(f"{name}.{field}  {value}" for name, fields in parcel.sections() for field, value in fields)
    missing = {text for text in texts(json.loads(parcel.content)) if ascii(text)[1:-1] not in shown}
    assert not missing and shown.isascii() and "consent.contributor  'Ford Prefect'" in shown


def test_consent_is_part_of_the_content_and_its_name(tmp_path):
    path = save(valid_record(), tmp_path)
    plain_one, named = Parcel.of(path), Parcel.of(path, contributor="Ford", licence="CC0-1.0")
    assert plain_one.path.name == path.name and plain_one.content == path.read_bytes()
    assert named.path != plain_one.path and named.branch != plain_one.branch
    assert content_hash(named.record)[:12] in named.branch and named.record.consent.licence == "CC0-1.0"
    with pytest.raises(ValueError, match="1000"):
        Parcel.of(path, contributor="x" * 2000)


@pytest.mark.parametrize(
    "field", [{"contributor": "Ford <ford@h2g2.example>"}, {"licence": "ask ford.p+1@mail.h2g2.example"}]
)
def test_no_address_of_mail_is_shared(field, tmp_path):
    with pytest.raises(ReportError, match="holds an e-mail address, 'ford"):
        Parcel.of(save(valid_record(), tmp_path), **field)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("fatal: unable to access 'https://h.example/a/b/': Could not resolve host: h.example", "no connect"),
        ("ssh: connect to host h.example port 22: Connection timed out\nfatal: Could not", "no connect"),
        ("remote: Permission to a/b.git denied to c.\nfatal: ... returned error: 403", "no permission"),
        ("fatal: could not read Username for 'https://h.example': terminal prompts disabled", "no permission"),
        ("remote: Repository not found.\nfatal: repository 'x' not found", "there is no repository"),
        ("remote: wrong day\n ! [remote rejected] x -> y (pre-receive hook declined)", "hook declined (wrong day)"),
        (" ! [rejected] x -> y (non-fast-forward)", "the push was rejected: non-fast-forward"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "could not be checked"),
        ("fatal: something else", "something else"),
        ("", "failed"),
    ],
)  # fmt: skip
def test_what_git_says_becomes_one_line(said, reason):
    line = str(explained(GitError("git push", said), "https://me:secret@h.example/a/b"))
    assert line.startswith("https://h.example/a/b: ") and reason in line and "; " in line and "\n" not in line


def test_a_line_is_one_line_whatever_it_was():
    assert plain("a\n\tb \x1b[31m https://me:t0ken@h.example/x\u202e") == r"a b \x1b[31m https://h.example/x\u202e"
    assert len(plain("x" * 5000)) == 300


def test_backlog_lies_in_the_cache(tmp_path, monkeypatch):
    for value in (str(tmp_path), ""):
        monkeypatch.setenv("NANOMARK_CACHE", value)
        assert backlog.cache() == default_cache()
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path))
    assert backlog.waiting() == []
    kept = backlog.keep(valid_record())
    assert backlog.keep(valid_record()) == kept and backlog.waiting() == [kept]
    (kept.parent / f".{kept.name}.1").write_text("half")
    assert backlog.waiting() == [kept]
    backlog.arrived(kept)
    backlog.arrived(kept)
    assert backlog.waiting() == []


def test_gh_is_asked_nothing_about_folders(monkeypatch):
    monkeypatch.setattr(request.process, "run", None)
    assert request.open_request(SimpleNamespace(scratch="."), None, Route("/srv/a", "/srv/b"), "main") is None

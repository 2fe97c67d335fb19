"""The site's pages: escaped, closed to everything outside, the same bytes from the same reports, never half written.

`pytest -m fast -k site`
"""

import re
from functools import cache
from html.parser import HTMLParser

import pytest

from bench.meta.boards import M4_MAX, METAL, collection, run
from bench.meta.sites import INJECTIONS, hostile
from reports import change, coverage, neighbours, published, ranking, record
from reports.collection import Collection
from reports.site import build, document, front, own, page, report
from reports.site.figure import DOTS, Plot, Series, bucketed, draw, ticks

pytestmark = pytest.mark.fast

LOADING = {"src", "srcset", "action", "formaction", "poster", "background", "data", "xlink:href"}
FILE = re.compile(r"index\.html|(report|chip|findings|releases)-[a-z0-9-]+\.html|(findings|releases)-[\w.-]+\.html")


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def faults(text: str) -> list[str]:
    """What a page must not hold: foreign scripts, handlers, styles of elements, anything loaded from elsewhere."""
    found = []
    for tag, attributes in Elements(text).found:
        if tag in ("iframe", "object", "embed", "form") and attributes.get("id") != "filter":
            found.append(f"element {tag}")
        for name, value in attributes.items():
            target = (value or "").strip().lower()
            if name.startswith("on") or name == "style":
                found.append(f"{tag} {name}={value}")
            elif name in LOADING and not target.startswith("data:"):
                found.append(f"{tag} loads {value}")
            elif name == "href" and not re.match(r"https://|#|data:,$|[\w.-]+\.html(#|$)", target):
                found.append(f"{tag} leads to {value}")
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    return found + [f"script {script[:40]}" for script in scripts if script != page._ENVIRONMENT.globals["script"]]


@cache
def site_of(hostile_text: str | None = None) -> dict[str, str]:
    """Every page of three ranked runs, a failed one, and a pending one whose every text is hostile."""
    runs = [run(1.4 + seed / 1e3, seed, hardware=M4_MAX, software=METAL) for seed in (42, 43, 44)]
    pending = () if hostile_text is None else (hostile(hostile_text, run(seed=7)),)
    return dict(build.pages(collection(*runs, run(None, 45), pending=pending)))


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_a_hostile_string_is_text_on_every_page(text):
    shown = hostile(text, run(seed=7))
    html = report.page(shown, "0" * 64, "pending", [text], standing=neighbours.Neighbours(text, ()))
    assert not faults(html)
    titles = re.search(r"<title>(.*?)</title>", html, re.DOTALL)
    assert titles and "<" not in titles[1]
    assert text not in html or not set(text) & set("<>\"'"), "unescaped"
    assert not any(c in html for c in "\u202e\u202c\u200b\x00")


def test_hostile_chips_reach_the_front_and_chip_pages_as_text():
    pages = site_of(INJECTIONS[1])
    assert not [fault for html in pages.values() for fault in faults(html)]
    assert all(FILE.fullmatch(name) for name in pages), list(pages)
    assert "&lt;img src=x" in pages[build.INDEX]


@pytest.mark.parametrize(
    "inserted",
    ["<p onclick=x>", "<p style='color:red'>", "<script>1</script>", "<img src=http://x/>", "<a href='javascript:1'>"],
)
def test_the_search_for_faults_finds_them(inserted):
    html = site_of()[build.INDEX]
    assert not faults(html)
    assert faults(html.replace("</main>", f"{inserted}</main>"))


def test_names_that_look_alike_are_pointed_out():
    assert page.named("\u0410pple M5") != page.named("Apple M5")
    assert "not ASCII" in page.named("\u0410pple M5")
    assert page.chip_page("Apple M5") != page.chip_page("apple-m5")
    assert page.chip_page("../../etc") == page.chip_page("../../etc") and FILE.fullmatch(page.chip_page("../../etc"))


def test_the_policy_allows_the_pages_own_style_and_script_only():
    html = site_of()[build.INDEX]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert body and f"{kind} {page._allowed(body[1])}" in policy[1]
    assert "default-src 'none'" in policy[1] and "unsafe" not in policy[1] and "http" not in policy[1]


def test_equal_reports_give_equal_pages():
    again = dict(build.pages(collection(*[entry for entry in _records()])))
    assert again == dict(build.pages(collection(*_records())))


def _records():
    return [run(1.4, 42, hardware=M4_MAX, software=METAL), run(1.41, 43, hardware=M4_MAX, software=METAL)]


def test_the_front_page_shows_ranks_empty_cells_and_what_others_published():
    html = site_of()[build.INDEX]
    assert "1.4430" in html and ">1</td>" in html  # the median of the three seeds, ranked
    assert "pytest -m slow --backend torch-mps --preset max" in html
    for row in published.PUBLISHED:
        assert f"{row.val_bpb:.6g}" in html
    before, after = html.split('id="published"')
    assert "0.9979" not in before and "0.9979" in after
    assert "Not comparable, and not ranked" in after


def test_an_empty_folder_gives_an_honest_front_page(tmp_path):
    none = Collection(tmp_path, ())
    boards = ranking.boards(none)
    assert not change.histories(boards)
    html = front.page(none, boards, coverage.matrix(none, boards), ())
    assert html.count("No report yet") == 3 and not faults(html)


def test_a_failed_run_has_a_page_without_a_score():
    html = next(html for name, html in site_of().items() if name.startswith("report-") and "seed 45" in html)
    assert "The run failed" in html and "the run ended without a score" in html


def test_a_folder_that_is_not_a_site_is_left_alone(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    record.save(run(), data)
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(record.ReportError, match="no site of ours"):
        build.build(data, out)
    assert [path.name for path in out.iterdir()] == ["precious"]


def test_a_site_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    data, out = tmp_path / "data", tmp_path / "out"
    record.save(run(), data)
    build.build(data, out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    record.save(run(seed=43), data)
    monkeypatch.setattr(front, "page", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(record.ReportError, match="No space left"):
        build.build(data, out)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert build.build(data, out) > len(first) - 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_page_of_ones_own_run_stands_alone_and_says_how_it_stands(tmp_path):
    data = tmp_path / "data"
    for seed in (42, 43):
        record.save(run(1.4, seed), data)
    mine = record.save(run(1.45, 44), tmp_path / "runs")
    written, line = own.write(mine, data)
    assert written == mine.with_suffix(".html")
    html = written.read_text()
    assert not faults(html) and "index.html" not in html
    assert line.startswith("+0.0500 bpb") and "one run cannot tell" in line and line in html.replace("&#39;", "'")


def test_the_nearest_reports_are_named_where_the_chip_has_none():
    mine = run(1.5, 1)
    others = collection(run(1.4, 42, hardware=M4_MAX, software=METAL))
    assert "Apple M4 Max; this chip has no report yet" in neighbours.of(mine, others).line
    assert "no committed report" in neighbours.of(mine, collection()).line
    other_text = run(1.4, 42, hashes={"data": "e" * 64})
    assert "other data" in neighbours.of(mine, collection(other_text)).line
    assert not neighbours.of(mine, collection(mine)).rows, "a run is not its own neighbour"


def test_a_run_is_held_against_its_like_only():
    seen_twice = run(1.3, 42, run={"epochs": 1.5})
    line = neighbours.of(run(1.5, 1), collection(seen_twice)).line
    assert "they are memory-limited" in line
    assert "they are not" in neighbours.of(seen_twice, collection(run(1.5, 1))).line
    assert neighbours.of(run(1.2, 3, run={"epochs": 1.5}), collection(seen_twice)).rows
    assert "it followed another run" in neighbours.of(run(1.5, 1, run={"mode": "fixed-tokens"}), collection(run())).line


def test_figures_keep_every_extreme_and_label_round_numbers():
    values = [1.0] * 1000
    values[517], values[18] = 9.0, None
    found = bucketed(list(range(1000)), values)
    assert len(found) <= 120 and max(high for _, _, _, high in found) == 9.0
    assert ticks(0.0, 9.7) == [0, 2, 4, 6, 8, 10]
    assert ticks(3.0, 3.0)[0] <= 3.0 <= ticks(3.0, 3.0)[-1]
    svg = draw(Plot("<b>", "x", "y", (Series("<i>", [(0.0, 1e-9), (1e9, 1e30)], DOTS),)))
    assert "<b>" not in svg and "<i>" not in svg and "nan" not in svg


def test_findings_are_pages_without_markup_of_their_own(tmp_path):
    comments = "<!-- table -->\n|a|\n|-|\n|b|\n<!-- end -->\n"
    links = "[x](javascript:1) [y](../z.md) ![f](../../../etc/passwd)\n"
    (tmp_path / "a.md").write_text(f"# T\n\n{comments}\n<script>1</script> {links}")
    title, html = document.page(tmp_path / "a.md")
    assert title == "T" and not faults(html) and "&lt;script&gt;" in html and "--" not in html.split("<article>")[1]

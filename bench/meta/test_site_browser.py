"""The site in a Chromium: nothing leaves the page, nothing is logged, axe has no complaint, the keyboard is enough.

`pytest -m meta -k site_browser`; needs the `browser` extra and a Chromium (`apt-get install chromium`), else skipped.
"""

import os
import shutil

import pytest

from bench.meta.boards import collection, run
from bench.meta.sites import INJECTIONS, hostile, many
from reports import record
from reports.site import build, own

playwright = pytest.importorskip("playwright.sync_api", reason='no playwright; pip install -e ".[browser]"')
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason='no axe; pip install -e ".[browser]"')

pytestmark = pytest.mark.meta

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SERIOUS = ("serious", "critical")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
KINDS = ("index", "chip-", "findings-newton", "releases-mlx")
ONLY = {"resultTypes": ["violations"]}  # axe describes every element else


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A site of 30 runs, a failed one and hostile pending ones, and the page of one run by itself."""
    root = tmp_path_factory.mktemp("site")
    pending = tuple(hostile(text, run(seed=100 + i)) for i, text in enumerate(INJECTIONS))
    found = collection(*many(30, steps=60), run(None, 7), pending=pending)
    for name, text in build.pages(found):
        (root / name).write_text(text, "utf-8")
    mine = record.save(run(1.5, 3), root / "runs")
    own.write(mine, root / "runs")[0].rename(root / "own.html")
    return root


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("NANOMARK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium here; apt-get install chromium, or name one by NANOMARK_CHROMIUM")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Seen:
    """A page open in the browser, and all that it logged or asked for."""

    def __init__(self, browser, file, scheme="light", viewport=DESKTOP):
        self.context = browser.new_context(color_scheme=scheme, viewport=viewport)
        self.page = self.context.new_page()
        self.logged, self.requests = [], []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("dialog", lambda dialog: self.logged.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def asked(self, file):
        return [url for url in self.requests if url not in (file.as_uri(), "data:,")]


def one_of_each(folder):
    """The front page, the own run's, one of every other kind, and a hostile report."""
    names = sorted(path.name for path in folder.glob("*.html"))
    firsts = {kind: next(name for name in names if name.startswith(kind)) for kind in KINDS}
    bad = [name for name in names if "taken" in (folder / name).read_text() and name.startswith("report-")]
    return [folder / name for name in dict.fromkeys([*firsts.values(), "own.html", bad[-1]])]


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "phone"])
def test_pages_load_nothing_log_nothing_and_axe_finds_nothing_serious(browser, folder, scheme, viewport):
    for file in one_of_each(folder):
        with Seen(browser, file, scheme, viewport) as seen:
            assert not seen.logged, (file.name, seen.logged)
            assert not seen.asked(file), (file.name, seen.requests)
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], (
                f"{file.name} is too wide"
            )
            for details in seen.page.query_selector_all("details:not([open])")[:20]:
                details.evaluate("one => { one.open = true; }")
            found = axe.Axe().run(seen.page, options=ONLY).response["violations"]
            worst = [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in SERIOUS]
            assert not worst, (file.name, scheme, worst)


def test_the_watch_over_a_page_sees_requests_errors_and_faults(browser, folder, tmp_path):
    """Every instrument of the test above can fail."""
    file = tmp_path / "bad.html"
    html = (folder / build.INDEX).read_text()
    file.write_text(html.replace("</main>", '<img src="http://127.0.0.1:9/x"><script>1</script></main>'))
    with Seen(browser, file) as seen:
        assert any("Content Security Policy" in line or "Content-Security-Policy" in line for line in seen.logged)
    file.write_text('<!doctype html><html><img src="http://127.0.0.1:9/x"><button></button></html>')
    with Seen(browser, file) as seen:
        assert seen.asked(file)
        assert {v["id"] for v in axe.Axe().run(seen.page, options=ONLY).response["violations"]} >= {
            "button-name",
            "image-alt",
        }


def test_injected_strings_are_text(browser, folder):
    for file in [file for file in sorted(folder.glob("report-*.html")) if "taken" in file.read_text()][:6]:
        with Seen(browser, file) as seen:
            assert seen.page.title() != "taken" and not seen.logged
            assert seen.page.locator("main img, main script, main svg[onload], main b").count() == 0
            assert "taken" in seen.page.locator("h1").inner_text()


def test_sorting_and_filtering_by_keyboard(browser, folder):
    with Seen(browser, folder / build.INDEX) as seen:
        page = seen.page
        table = page.locator("table.sortable").first
        scores = "rows => rows.filter(row => !row.hidden).map(row => Number(row.cells[4].dataset.v))"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        _tab_to(page, "Tokens/s")
        page.keyboard.press("Enter")
        rising = table.locator("tbody tr").evaluate_all(scores)
        page.keyboard.press("Space")
        falling = table.locator("tbody tr").evaluate_all(scores)
        assert rising == sorted(rising) and falling == sorted(rising, reverse=True) and rising[0] < rising[-1]
        assert table.locator('th[aria-sort="descending"]').count() == 1
        page.locator("#filter input").focus()
        page.keyboard.type("m4 max")
        chips = page.locator("tr[data-filter]:not([hidden])").evaluate_all("r => r.map(one => one.dataset.filter)")
        assert chips and all("m4" in chip and "max" in chip for chip in chips)
        assert f"{len(chips)} of " in page.locator("#count").inner_text()
        page.keyboard.press("Tab")
        page.keyboard.type("torch-mps")
        backends = page.locator("tr[data-filter]:not([hidden])").evaluate_all("r => r.map(one => one.dataset.backend)")
        assert set(backends) == {"torch-mps"}
        assert not seen.logged


def _tab_to(page, text):
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith(text):
            return
    raise AssertionError(f"{text} is not reached by Tab")


def test_the_theme_button_overrides_the_system(browser, folder):
    with Seen(browser, folder / build.INDEX, "light") as seen:
        colour = "getComputedStyle(document.body).backgroundColor"
        light = seen.page.evaluate(colour)
        button = seen.page.locator("#theme")
        button.press("Enter")
        assert (button.inner_text(), seen.page.evaluate(colour)) == ("Theme: light", light)
        button.press("Enter")
        assert button.inner_text() == "Theme: dark" and seen.page.evaluate(colour) != light

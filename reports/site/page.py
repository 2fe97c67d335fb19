"""One HTML page: its template, its style sheet and script inside it, and a policy that lets nothing else in.

Whatever comes from a report is escaped by the template engine, cut, and has its invisible characters spelled out.
Test with `pytest -m fast -k site`.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.record import ReportError, chip_slug
from reports.site.figure import draw, short

FOLDER = Path(__file__).parent / "templates"
LONGEST = 400  # characters of one string from a report
SLUG = 48
DIGEST = 16  # digits of a content hash in a file name
UNKNOWN = Markup('<span class="none" title="unknown">–</span>')


def render(template: str, **context: Any) -> str:
    """The whole page. Equal context gives equal bytes."""
    return _ENVIRONMENT.get_template(f"{template}.html").render(**context)


def harmless(value: Any) -> Any:
    """A string with what cannot be seen written out, such as a reversal of direction, and cut to LONGEST."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    cut = value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def named(text: str) -> Markup:
    """A name that decides what is compared: letters of other alphabets, which may look alike, are pointed out."""
    shown = Markup("{}").format(harmless(text))
    if text.isascii():
        return shown
    spelled = harmless(ascii(text)[1:-1])
    return shown + Markup(' <span class="tag warn">not ASCII: {}</span>').format(spelled)


def chip_page(chip: str) -> str:
    """File name of a chip's page: letters, digits and hyphens, whatever it is called."""
    try:
        slug = chip_slug(chip)[:SLUG].strip("-")
    except ReportError:
        slug = "chip"
    return f"chip-{slug}-{hashlib.sha256(chip.encode()).hexdigest()[:8]}.html"


def report_page(digest: str) -> str:
    """File name of a report's page, from its content hash."""
    return f"report-{digest[:DIGEST]}.html"


def number(value: float | None, form: str = ",.0f", unit: str = "") -> str | Markup:
    """A formatted number, or the sign for unknown."""
    return UNKNOWN if value is None else f"{value:{form}}{unit}"


def percent(value: float | None) -> str | Markup:
    return number(None if value is None else 100 * value, ".3g", " %")


def gibibytes(value: float | None) -> str | Markup:
    return number(None if value is None else value / 2**30, ".1f", " GiB")


def millijoules(value: float | None) -> str | Markup:
    return number(None if value is None else value * 1e3, ",.3g", " mJ")


def millions(value: float | None) -> str | Markup:
    return number(None if value is None else value / 1e6, ",.2f", " M")


def _allowed(text: str) -> str:
    """The source expression of a policy that allows exactly this style sheet or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((FOLDER / name).read_text("utf-8") for name in ("style.css", "script.js"))
    policy = (
        f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    made.globals |= {"style": Markup(style), "script": Markup(script), "policy": Markup(policy), "draw": draw}
    made.globals |= {"chip_page": chip_page, "report_page": report_page, "UNKNOWN": UNKNOWN}
    made.filters |= {
        "number": number, "percent": percent, "gibibytes": gibibytes, "millijoules": millijoules, "millions": millions,
        "named": named, "short": short,
    }  # fmt: skip
    return made


_ENVIRONMENT = _environment()

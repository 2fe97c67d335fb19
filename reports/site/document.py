"""A page of Markdown from this repository as HTML: text and figures only, no markup of its own.

Test with `pytest -m fast -k site`.
"""

import base64
import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from reports.site.page import render

COMMENT = re.compile(r"(?m)^<!--.*-->\n?")  # marks between which a command writes its tables
FIGURE_LIMIT = 2**20  # bytes; a larger figure is left out


def page(file: Path) -> tuple[str, str]:
    """(title, HTML). Raw HTML is shown as text, links lead nowhere but to the web, figures lie inside the page."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(COMMENT.sub("", file.read_text("utf-8")))
    title = next((tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"), file.stem)
    for token in tokens:
        for child in token.children or ():
            _tame(child, file.parent)
    body = parser.renderer.render(tokens, parser.options, {})
    body = re.sub(r' style="text-align:(\w+)"', r' class="\1"', body)  # the policy allows no style in an element
    body = body.replace("<pre>", '<pre tabindex="0">')  # it scrolls, by the keyboard too
    body = body.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>')
    return title, render("document", title=title, body=Markup(body.replace("</table>", "</table></div>")))


def _tame(token: Token, folder: Path) -> None:
    if token.type == "image":
        token.attrs["src"] = _inline(folder, str(token.attrs.get("src", "")))
    elif token.type == "link_open" and not str(token.attrs.get("href", "")).startswith(("https://", "#")):
        del token.attrs["href"]  # a file of the repository, which is not beside the site


def _inline(folder: Path, name: str) -> str:
    path = folder / Path(name).name
    kind = {".svg": "svg+xml", ".png": "png"}.get(path.suffix)
    if not kind or not path.is_file() or path.stat().st_size > FIGURE_LIMIT:
        return "data:,"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

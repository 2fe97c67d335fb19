"""The Markdown table: what it shows, what README it takes, and a stranger's text that breaks nothing in it.

Run with `pytest -m fast bench/meta/test_table.py`.
"""

import re

import pytest

from bench.meta.boards import collection, run
from reports.__main__ import main
from reports.ranking import boards
from reports.record import ReportError, save
from reports.table import BEGIN, COLUMNS, END, TOP, code, current, markdown, replaced

pytestmark = [pytest.mark.fast, pytest.mark.meta]

HOSTILE = [
    "a|b", "`x`", "<script>alert(1)</script>", "[x](javascript:1)", "![x](//h/i.png)", "a\nb", "https://host.example",
    "\u202egnp", "М4", "-->", "{{x}}", "\\|", "`|`", "<!-- end of the table -->", "x" * 300, "@everyone #1",
]  # fmt: skip


def shown(*records, pending=()):
    found = collection(*records, pending=tuple(pending))
    return markdown(boards(found), found)


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_a_row():
    table = shown(*(run(score, seed=i) for i, score in enumerate([1.40, 1.41, 1.45])), run(None, seed=9))
    header, rule, row = rows(table)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == len(COLUMNS) == len(header.strip("|").split("|")) == len(rule.strip("|").split("|"))
    assert cells[:4] == ["1", "`AMD EPYC 9554 64-Core Processor`, 2 cores", "torch-cpu", "`2.13.0+cpu`"]
    assert cells[6] == "1.4100" and re.fullmatch(r"1\.35\d\d to 1\.48\d\d", cells[7]) and cells[9] == "3 + 1 failed"
    assert cells[10] == "1" and cells[12] == cells[13] == cells[15] == "?"  # unknown is no number
    assert table.startswith("**Division tier**") and "it takes 3 seeds." in table and "4 accepted" in table


def test_lists_stand_apart_and_end():
    many = [run(1.3 + i / 100, seed=i, hardware={"chip": f"AMD EPYC {i}"}) for i in range(TOP + 3)]
    limited = run(1.2, seed=77, run={"epochs": 1.2})
    table = shown(*many, limited, pending=[run(1.0, seed=99, hardware={"chip": "who knows"})])
    assert "(3 more):" in table and "memory-limited:" in table and "provisional" in table
    assert len(rows(table)) == 2 + TOP + 2 + 1
    assert "who knows" not in table and "1 pending" in table


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_strangers_text_stays_in_its_span(text):
    span = code(text)
    assert re.fullmatch(r"`[^`|\n]+`", span) and span.isascii() and len(span) <= 50
    fields = {"hardware": {"chip": text[:100]}, "identity": {"preset": text, "recipe": text}}
    table = shown(run(1.4, software={"frameworks": {"torch": text}, "blas": text}, **fields))
    assert all(line.count("|") == len(COLUMNS) + 1 for line in rows(table)) and len(rows(table)) in (0, 3)
    outside = re.sub(r"`[^`\n]*`", "", table)
    assert not re.search(r"[<>\[\]@{}]|://", outside)
    assert current(f"{BEGIN}\n{table}\n{END}").strip() == table


def test_a_readme_is_changed_between_its_markers_only():
    before = f"# Title\n\n{BEGIN}\nold\n{END}\n\nrest |x|\n"
    after = replaced(before, "new")
    assert after == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nrest |x|\n" and replaced(after, "new") == after
    for wrong in ("", BEGIN, END, f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"):
        with pytest.raises(ReportError, match="no place for the table"):
            current(wrong)


def test_command(tmp_path, capsys):
    data, readme = tmp_path / "data", tmp_path / "README.md"
    save(run(1.4), data)
    readme.write_text(f"x\n{BEGIN}\n{END}\n")
    command = ["table", str(data), "--readme", str(readme)]
    assert main([*command]) == 0 and "**Division tier**" in capsys.readouterr().out
    assert readme.read_text() == f"x\n{BEGIN}\n{END}\n"
    assert main([*command, "--check"]) == 1 and "not up to date" in capsys.readouterr().err
    assert main([*command, "--write"]) == 0 and main([*command, "--check"]) == 0
    save(run(1.3, seed=43), data)
    assert main([*command, "--check"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "data"]


def test_command_called_wrongly(tmp_path, capsys):
    assert main(["table", str(tmp_path / "absent")]) == 2 and "no folder there" in capsys.readouterr().err
    assert main(["table", str(tmp_path), "--check", "--readme", str(tmp_path / "absent.md")]) == 2
    (tmp_path / "README.md").write_text("no markers")
    assert main(["table", str(tmp_path), "--check", "--readme", str(tmp_path / "README.md")]) == 2
    assert "README.md: no place for the table" in capsys.readouterr().err


def test_readme_holds_the_table_of_the_committed_reports():
    assert main(["table", "--check"]) == 0, "run `python -m reports table --write`"

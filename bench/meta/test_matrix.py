"""The release matrix names the release in which something moved, keeps what it has, and says why a release failed.

`pytest -m meta bench/meta/test_matrix.py`
"""

import json
import subprocess

import pytest

from bench.matrix import divergence, record, releases, table
from bench.matrix.__main__ import FOLDER, main
from bench.matrix.record import Machine, Matrix, MatrixError, Quantity, Release
from bench.newton_schulz.variants import SHIPPED
from bench.subject import load

pytestmark = pytest.mark.meta

MACHINE = Machine(chip="a chip", system="Linux x86_64", python="3.11", environment={})
CONFLICT = "ERROR: Cannot install torch==2.11.0\n  torch 2.11.0 depends on setuptools<82\nERROR: ResolutionImpossible\n"


def release(name, **values):
    """One with the quantities given as kind__name=value."""
    found = [Quantity(name=key.split("__")[1], kind=key.split("__")[0], value=value) for key, value in values.items()]
    return Release(
        release=name, build=name, blas=None, commit=None, passed=1, failed=0, skipped=0, failures={},
        quantities=tuple(found),
    )  # fmt: skip


def matrix(*entries):
    return Matrix(backend="mlx-cpu", machine=MACHINE, releases=entries)


@pytest.mark.parametrize(
    "kind, before, after",
    [
        ("value", 256.0, 70144.0),
        ("value", 70000.0, "inf"),
        ("class", "bfloat16-sums", "bfloat16"),
        ("class", "diverges at 1", "holds"),
        ("bits", "aa", "bb"),
        ("error", 0.5, 0.0017),
        ("error", 1e-3, "nan"),
    ],
)
def test_a_change_is_found_in_its_release(kind, before, after):
    values = {"1.8.0": before, "1.9.0": before, "1.10.0": after, "1.11.0": after}
    found = list(table.steps(matrix(*(release(name, **{f"{kind}__x": value}) for name, value in values.items()))))
    assert [(step.before, step.after, step.old, step.new) for step in found] == [("1.9.0", "1.10.0", before, after)]


@pytest.mark.parametrize(
    "kind, before, after",
    [("error", 1e-3, 1.4e-3), ("error", 0.0, 0.0), ("value", 1.0, 1.0 + 1e-9), ("bits", "aa", "aa")],
)
def test_what_stays_is_no_change(kind, before, after):
    assert not list(
        table.steps(matrix(release("1.0.0", **{f"{kind}__x": before}), release("1.1.0", **{f"{kind}__x": after})))
    )


def test_a_release_without_numbers_hides_no_change():
    broken = release("1.1.0").model_copy(update={"failures": {"install": "no wheel"}})
    [step] = table.steps(matrix(release("1.0.0", bits__x="a"), broken, release("1.2.0", bits__x="b")))
    assert (step.before, step.after) == ("1.0.0", "1.2.0")


def test_the_page_says_what_moved_and_what_failed():
    broken = release("1.1.0").model_copy(update={"failures": {"install": "no wheel"}})
    page = table.markdown(matrix(release("1.0.0", value__total=256.0), broken, release("1.2.0", value__total=70144.0)))
    assert "**1.0.0 -> 1.2.0**\n\n- total: 256 -> 70144" in page
    assert "- 1.1.0: `install` no wheel" in page and "| total | 256 |  | 70144 |" in page


def test_releases_are_those_of_tox_ini_in_order():
    assert releases.declared("mlx")[0] == "0.26.5" and {"0.32.2", "0.32.3"} <= set(releases.declared("mlx"))
    assert record.order("0.9.1") < record.order("0.10.0")
    with pytest.raises(MatrixError, match="names no release of jax; try a backend of mlx or torch"):
        releases.declared("jax")


class Tox:
    """Stands for tox: `answers` by release says what its steps print, leave behind and exit with."""

    def __init__(self, **answers):
        self.calls, self.answers = [], answers

    def __call__(self, command, out, limit_s):
        name, verb = command[command.index("-e") + 1], command[3]
        step = "install" if verb == "run" else "suite" if "pytest" in command else "facts"
        self.calls.append((name, step))
        answer = self.answers.get(step, {}).get(name, {})
        out.write(answer.get("prints", ""))
        if answer.get("hangs"):
            raise subprocess.TimeoutExpired(command, limit_s)
        if step == "suite" and "leaves" not in answer:
            self.leave(
                next(a for a in command if a.startswith("--rows-to="))[10:], suite(failed=answer.get("status", 0))
            )
        if step == "facts" and "leaves" not in answer:
            sums = 70144.0 if record.order(name[4:]) >= (0, 32, 3) else 256.0
            quantities = [{"name": "sum", "kind": "value", "value": sums}]
            self.leave(command[-1], {"build": name, "blas": None, "quantities": quantities})
        return answer.get("status", 0)

    def leave(self, path, content):
        with open(path, "w") as file:
            json.dump(content, file)


def suite(failed):
    row = {"subject": "mlx-cpu", "quantity": "loss", "precision": "float32", "worst_ratio": 1.0, "failed": failed}
    classes = [{"family": "gemm", "policy": "float32", "observed": "float32"}]
    facts = {"mlx-cpu": {"classes": classes, "repeats": {"float32": {"gradient": True}}}}
    return {"passed": 9, "failed": failed, "skipped": 1, "rows": [row], "fingerprint": facts}


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """`python -m bench.matrix` in this process with another tox: (exit status, all that it printed)."""
    monkeypatch.setattr("bench.matrix.__main__._machine", lambda backend: MACHINE)
    monkeypatch.setattr(releases, "require_tox", lambda: None)

    def asked(tox, *options):
        monkeypatch.setattr(releases, "run", tox)
        status = main([*options, "--folder", str(tmp_path / "kept"), "--workdir", str(tmp_path / "tox")])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return asked


TWO = ("--release", "0.32.2", "--release", "0.32.3")


def test_runs_what_is_missing_and_no_more(ask, tmp_path):
    first = Tox()
    status, shown = ask(first, *TWO)
    assert status == 0 and "0.32.2 -> 0.32.3: 1 quantities moved" in shown and "sum: 256 -> 70144" in shown
    assert [call for call in first.calls if call[1] == "suite"] == [("mlx-0.32.2", "suite"), ("mlx-0.32.3", "suite")]
    kept = record.load(tmp_path / "kept" / "mlx-cpu.json")
    assert kept.releases[0].value("gemm, float32: class") == "float32"
    assert kept.releases[0].value("loss, float32: error in yardsticks") == 1.0

    resumed = Tox()
    assert ask(resumed, *TWO, "--release", "0.32.4")[0] == 0
    assert {name for name, _ in resumed.calls} == {"mlx-0.32.4"}
    other = Tox()
    assert ask(other, "--release", "0.32.4", "-k", "ops")[0] == 0 and other.calls, "other tests were asked for"
    assert record.load(tmp_path / "kept" / "mlx-cpu.json").releases[-1].select.endswith(", -k ops")
    again = Tox()
    assert ask(again, *TWO, "--again")[0] == 0 and {name for name, _ in again.calls} == {"mlx-0.32.2", "mlx-0.32.3"}


def test_renders_without_running(ask, tmp_path):
    assert ask(Tox(), "--render") == (2, f"{tmp_path}/kept/mlx-cpu.json: cannot be read (No such file or directory); "
                                         "run the matrix first, without --render\n")  # fmt: skip
    ask(Tox(), *TWO)
    (tmp_path / "kept" / "mlx-cpu.md").unlink()
    idle = Tox()
    assert ask(idle, "--render")[0] == 0 and not idle.calls
    assert "sum: 256 -> 70144" in (tmp_path / "kept" / "mlx-cpu.md").read_text()


def test_a_release_that_does_not_install_is_recorded_with_its_reason(ask, tmp_path):
    tox = Tox(install={"mlx-0.32.2": {"status": 1, "prints": CONFLICT}})
    status, shown = ask(tox, *TWO)
    assert status == 1 and "not installed" in shown
    broken, whole = record.load(tmp_path / "kept" / "mlx-cpu.json").releases
    assert broken.failures["install"] == "ERROR: ResolutionImpossible; torch 2.11.0 depends on setuptools<82"
    assert not broken.quantities and whole.quantities
    repaired = Tox()
    assert ask(repaired, *TWO)[0] == 0 and {name for name, _ in repaired.calls} == {"mlx-0.32.2"}


def test_failing_tests_are_named_and_counted(ask, tmp_path):
    failure = "FAILED bench/conformance/test_gpt.py::test_loss[mlx-cpu] - Disagreement: off, see /opt/some/where/x.py\n"
    tox = Tox(suite={"mlx-0.32.2": {"status": 1, "prints": failure}})
    status, shown = ask(tox, *TWO)
    [first, _] = record.load(tmp_path / "kept" / "mlx-cpu.json").releases
    assert status == 1 and first.failed == 1 and "9 passed, 1 failed" in shown
    assert first.failures == {"bench/conformance/test_gpt.py::test_loss[mlx-cpu]": "Disagreement: off, see ~"}
    assert first.value("sum") == 256.0, "the facts are asked for all the same"


@pytest.mark.parametrize(
    "step, answer, reason",
    [
        ("suite", {"hangs": True}, "ERROR: not done after 3600 s"),
        (
            "facts",
            {"status": 1, "prints": "Traceback\nImportError: no kernel\n", "leaves": 0},
            "ImportError: no kernel",
        ),
    ],
)
def test_a_step_that_leaves_nothing_is_recorded_and_repeated(ask, tmp_path, step, answer, reason):
    assert ask(Tox(**{step: {"mlx-0.32.2": answer}}), *TWO)[0] == 1
    assert record.load(tmp_path / "kept" / "mlx-cpu.json").releases[0].failures == {step: reason}
    repaired = Tox()
    assert ask(repaired, *TWO)[0] == 0 and {name for name, _ in repaired.calls} == {"mlx-0.32.2"}


def test_called_wrongly(ask, monkeypatch):
    assert "--release 9.9.9 is not in tox.ini; try one of 0.26.5" in ask(Tox(), "--release", "9.9.9")[1]
    ask(Tox(), *TWO)
    elsewhere = MACHINE.model_copy(update={"chip": "another"})
    monkeypatch.setattr("bench.matrix.__main__._machine", lambda backend: elsewhere)
    status, shown = ask(Tox(), "--release", "0.32.4")
    assert status == 2 and "was measured elsewhere (chip differ)" in shown and "--folder" in shown
    assert ask(Tox(), *TWO, "--again")[0] == 0, "all of it, here"
    with pytest.raises(SystemExit) as stop:
        main(["--factor", "0.5"])
    assert stop.value.code == 2


def test_tox_missing_is_told_with_the_remedy(ask, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MatrixError, match=r"has no tox, .* pip install tox"):
        releases.require_tox()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Exit status: 0" in text and "python -m bench.matrix --render" in text and "not run again" in text


def test_a_narrow_norm_is_seen_to_diverge(backend):
    """The verdict that the table rests on: on every backend the emulated accumulator diverges, ours does not."""
    subject = load(backend)
    assert divergence.low_rank(subject, divergence.SHAPES[0], "bfloat16, serial").startswith("diverges")
    assert divergence.low_rank(subject, divergence.SHAPES[0], SHIPPED) == "holds"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_pages_are_made_from_their_records(path):
    kept = record.load(path)
    assert kept.backend == path.stem
    assert path.with_suffix(".md").read_text("utf-8") == table.markdown(kept), (
        f"python -m bench.matrix --backend {path.stem} --render"
    )

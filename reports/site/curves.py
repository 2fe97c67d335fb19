"""The plots of one report, and of many side by side, from their columns.

Test with `pytest -m fast -k site`.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from reports import derived
from reports.flags import slow_stretches
from reports.ranking import LIMITED, PROVISIONAL, RANKED, Board, Row
from reports.record import Record
from reports.schema import Probe
from reports.site.figure import BAND, DOTS, Bucket, Plot, Series, bucketed

MILLION = 1e6
PLOTTED = (RANKED, PROVISIONAL, LIMITED)
SENSORS = (("temperature_c", "Temperature", "°C"), ("clock_mhz", "Clock", "MHz"), ("power_w", "Power", "W"))


def of(record: Record) -> list[Plot]:
    """What a report's page shows."""
    return [_loss(record), _scores(record), _step_times(record), _probes(record), *_sensors(record), *_energy(record)]


def _trained(record: Record) -> list[float]:
    """Tokens after each step, in millions."""
    return [(i + 1) * record.run.total_batch / MILLION for i in range(len(record.run.steps))]


def _loss(record: Record) -> Plot:
    found = bucketed(_trained(record), record.run.steps.loss)
    series = _banded("training loss", found)
    return Plot("Training loss", "tokens, millions", "nats per token", series, missing="no step has a finite loss.")


def _banded(name: str, found: Sequence[Bucket], style: int = 0) -> tuple[Series, ...]:
    """The median of stretches of steps, inside all that they hold."""
    line = Series(f"{name}, median of a stretch", [(x, middle) for x, _, middle, _ in found], style=style)
    if all(low == high for _, low, _, high in found):
        return (line,)
    return Series("least to greatest", [(x, low, high) for x, low, _, high in found], BAND, style), line


def scores(record: Record) -> list[tuple[int, float]]:
    """(step, bits per byte) of every evaluation, step 0 and the end included."""
    found = [(e.step, derived.bits(e.nats, e.bytes)) for e in record.run.evals]
    first, last = derived.initial_bits_per_byte(record), derived.bits_per_byte(record)
    found += [(0, first)] if first is not None else []
    found += [(len(record.run.steps), last)] if last is not None else []
    return sorted(dict(found).items())


def _scores(record: Record) -> Plot:
    points = [(step * record.run.total_batch / MILLION, score) for step, score in scores(record)]
    unigram = derived.unigram_bits_per_byte(record)
    kinds = (Series("val_bpb", points), Series("evaluations", points, DOTS))
    return Plot(
        "Validation bits per byte",
        "tokens, millions",
        "bits per byte, every byte once",
        kinds if record.run.evals else kinds[1:],  # a line between start and end would claim a course
        levels=(("a unigram model's", unigram),) if unigram is not None and points else (),
        missing="the run ended without a score.",
    )


def _step_times(record: Record) -> Plot:
    steps = record.run.steps
    ends = list(accumulate(steps.step_s))
    starts = [0.0, *ends]
    shaded = [
        (
            f"steps {s.start} to {s.stop - 1}: {s.ratio:.2f} times slower",
            starts[s.start],
            ends[min(s.stop, len(ends)) - 1],
        )
        for s in slow_stretches(steps.step_s)
    ]
    return Plot(
        "Step time, and where it slowed",
        "seconds of training",
        "milliseconds a step; shaded: slower than the rest",
        _banded("step time", bucketed(ends, [1e3 * s for s in steps.step_s])) if ends else (),
        shaded=tuple(shaded),
        missing="no step was finished.",
    )


def _probes(record: Record) -> Plot:
    """Seconds of the same product over the run, as a share of the quickest: above 1 the chip was held back."""
    series = []
    kinds = sorted({(p.precision, p.flop) for p in record.state.probes})
    for style, (precision, flop) in enumerate(kinds):
        alike = [(x, p) for x, p in _placed(record) if (p.precision, p.flop) == (precision, flop)]
        quickest = min(p.seconds for _, p in alike)
        points = [(x, p.seconds / quickest) for x, p in alike]
        series.append(Series(f"{precision} product", points, DOTS, style))
    return Plot(
        "A fixed product before, during and after",
        "seconds of training",
        "time, 1 = the quickest; more: the chip was held back or busy",
        tuple(series),
        missing="no probe was timed.",
    )


def _placed(record: Record) -> list[tuple[float, Probe]]:
    """Probes with the seconds of training before them; spread evenly where an older report does not say."""
    end, probes = sum(record.run.steps.step_s), record.state.probes
    inside = sum(probe.when == "during" for probe in probes)
    placed, met = [], 0
    for probe in probes:
        met += probe.when == "during"
        guess = {"before": 0.0, "during": end * met / (inside + 1), "after": end}[probe.when]
        placed.append((guess if probe.at_s is None else probe.at_s, probe))
    return placed


def _sensors(record: Record) -> list[Plot]:
    """One plot for each sensor that was read at least twice."""
    plots = []
    for field, name, unit in SENSORS:
        points = [(x, value) for x, p in _placed(record) if (value := getattr(p, field)) is not None]
        if len(points) > 1:
            series = (Series(name.lower(), sorted(points)),)
            plots.append(Plot(f"{name} at the probes", "seconds of training", unit, series))
    return plots


def _energy(record: Record) -> list[Plot]:
    points = joules(record)
    if not points:
        return []
    kinds = (Series("val_bpb", points), Series("evaluations", points, DOTS))
    series = kinds if len(points) > 1 else kinds[1:]
    return [Plot("Validation bits per byte by energy", "kilojoules of training", "bits per byte", series)]


def joules(record: Record) -> list[tuple[float, float]]:
    """(kilojoules, bits per byte) of every evaluation at which a counter was read."""
    found = [(e.joules, derived.bits(e.nats, e.bytes)) for e in record.run.evals]
    last = derived.bits_per_byte(record)
    if record.result and last is not None:
        found.append((record.result.joules, last))
    return [(spent / 1e3, score) for spent, score in found if spent is not None]


def scatter(board: Board, chip: str | None = None) -> list[Plot]:
    """Scores of a board's runs, of all chips or of one, by tokens and by energy; none where there is no score."""
    rows = [row for row in board.of(*PLOTTED) if chip in (None, row.configuration.chip)]
    trained = _by_backend(rows, lambda r: [(derived.tokens(r) / MILLION, derived.bits_per_byte(r))])
    spent = _by_backend(rows, joules)
    y = "val_bpb; lower is better"
    missing = "no run here read an energy counter."
    plots = [
        Plot("Score against tokens trained", "tokens trained, millions", y, trained),
        Plot("Score against energy", "kilojoules of training", y, spent, missing=missing),
    ]
    return plots if trained else []


def _by_backend(rows: Iterable[Row], points) -> tuple[Series, ...]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for entry in row.entries:
            if entry.record and entry.record.result:
                found.setdefault(row.configuration.backend, []).extend(points(entry.record))
    named = sorted((name, sorted(set(points))) for name, points in found.items() if points)
    return tuple(Series(name, points, DOTS, style) for style, (name, points) in enumerate(named))

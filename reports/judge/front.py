"""val_bpb against memory: which experiments no other beats in both, and a plot of them in text.

Test with `pytest -m meta bench/meta/test_judge.py`.
"""

from collections.abc import Sequence

import plotille

from reports.judge.ledger import CRASH, Line

WIDTH, HEIGHT = 60, 14


def front(lines: Sequence[Line]) -> list[Line]:
    """Those that nothing else has both a lower val_bpb and less memory than, least memory first."""
    best: list[Line] = []
    for line in sorted(placed(lines), key=lambda line: (line.memory_gb or 0, line.val_bpb or 0)):
        if not best or (line.val_bpb or 0) < (best[-1].val_bpb or 0):
            best.append(line)
    return best


def placed(lines: Sequence[Line]) -> list[Line]:
    """Those of which both numbers are known."""
    return [line for line in lines if line.status != CRASH and line.val_bpb and line.memory_gb]


def plot(lines: Sequence[Line]) -> str:
    """o on the front, x beside it, * the last one; empty where there are not two to set apart."""
    shown, best = placed(lines), front(lines)
    if len({(line.memory_gb, line.val_bpb) for line in shown}) < 2:
        return ""
    figure = plotille.Figure()
    figure.width, figure.height, figure.with_colors = WIDTH, HEIGHT, False
    figure.x_label, figure.y_label = "memory, GB", "val_bpb"
    figure.register_label_formatter(float, lambda value, **_: f"{value:<9.4g}")
    last = shown[-1]
    kinds = {"x": [line for line in shown if line not in best], "o": best, "*": [last]}
    for marker, group in kinds.items():
        if group:
            figure.scatter([line.memory_gb for line in group], [line.val_bpb for line in group], marker=marker)
    return figure.show()

"""Draw the diagrams of the guide: boxes and arrows, without a run.

`docs/pictures.py` calls them.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

BLUE = "#1c3f5f"
PALE = "#dbe7f1"
ORANGE = "#c8843b"
GREY = "#777777"


def canvas(width: float, height: float) -> Axes:
    """Return axes without lines, in units of 1/10 inch."""
    _, axis = plt.subplots(figsize=(width, height))
    axis.set(xlim=(0, 10 * width), ylim=(0, 10 * height))
    axis.axis("off")
    return axis


def box(axis: Axes, x: float, y: float, width: float, text: str, color: str = PALE) -> None:
    """Draw a box of two lines of text, with its lower left corner at (x, y)."""
    shape = FancyBboxPatch((x, y), width, 5.2, boxstyle="round,pad=0.3", fc=color, ec=BLUE)
    axis.add_patch(shape)
    axis.text(x + width / 2, y + 2.6, text, ha="center", va="center", fontsize=8)


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    """Draw an arrow, with a text on its middle."""
    style = {"arrowstyle": "->", "color": BLUE, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        behind = {"fc": "white", "ec": "none", "pad": 1}
        axis.text(x, y, text, ha="center", va="center", fontsize=7, color=GREY, bbox=behind)


def draw_late() -> None:
    """Draw a label that comes after its row: what happens at which time."""
    axis = canvas(7.5, 2.3)
    axis.annotate("", xy=(73, 4), xytext=(2, 4), arrowprops={"arrowstyle": "->", "color": GREY})
    axis.text(73, 1.2, "time", ha="right", fontsize=8, color=GREY)
    steps = ((10, "row 7 comes"), (31, "rows 8 to 99"), (56, "label of row 7 comes"))
    for x, text in steps:
        axis.plot([x, x], [3.4, 4.6], color=GREY)
        axis.text(x, 1.2, text, ha="center", fontsize=8)
    box(axis, 2, 14.6, 16, "predict; keep the\nticket of row 7")
    box(axis, 23, 5.4, 16, "predicted with what\nis known by then")
    box(axis, 46, 16, 20, "score the prediction\nmade at the time of row 7")
    box(axis, 46, 7.2, 20, "learn row 7 with\nthe model of now", "#f3e3d1")
    arrow(axis, (10, 5), (10, 14.2))
    arrow(axis, (31, 4.2), (31, 5.1))
    arrow(axis, (18.4, 18.6), (45.6, 18.6), "ticket: row and prediction")
    arrow(axis, (18.4, 15.8), (45.6, 11.0))


def draw_traces() -> None:
    """Draw how far back synaptic traces reach: three time constants, with a gap in the rows."""
    rows = np.array([0, 1, 2, 3, 4, 5, 11, 12, 13], float)
    times = np.arange(0, 15, 0.02)
    _, axis = plt.subplots(figsize=(7, 3.0))
    for tau, color in ((0.3, ORANGE), (3.0, "#5b8db8"), (50.0, BLUE)):
        ages = times[:, None] - rows
        trace = np.where(ages >= 0, np.exp(-np.maximum(ages, 0) / tau), 0.0).sum(1)
        axis.plot(times, trace / trace.max(), color=color, label=f"{tau:g} median gaps")
    axis.plot(rows, np.full(len(rows), -0.06), "|", color=GREY, markersize=9)
    axis.set(
        xlabel="time, in median gaps between rows; marks are rows",
        ylabel="trace, relative",
        ylim=(-0.12, 1.1),
    )
    axis.legend(
        title="time constant",
        frameon=False,
        fontsize=8,
        ncols=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )


def draw_fleet() -> None:
    """Draw the path of a row through a fleet."""
    axis = canvas(8, 2.9)
    box(axis, 1, 12, 13, "source\n(rows with a key)")
    box(axis, 23, 12, 15, "crc32(key) % 64\n= key group")
    for y, text in ((20.5, "group 0"), (12, "group 17"), (3.5, "group 63")):
        box(axis, 46, y, 13, f"{text}\nlog, models.db", "#f3e3d1")
    box(axis, 65, 16.5, 13, "model of\npress 7")
    box(axis, 65, 7.5, 13, "model of\npress 8")
    arrow(axis, (14.4, 14.6), (22.6, 14.6), "key, x, y")
    for y in (23, 14.6, 6.2):
        arrow(axis, (38.4, 14.6), (45.6, y))
    arrow(axis, (59.4, 15.6), (64.6, 18.6))
    arrow(axis, (59.4, 13.6), (64.6, 10.6))
    axis.text(71.5, 3.5, "up to max_resident\nin memory", ha="center", fontsize=7, color=GREY)
    axis.text(52.5, 0.4, "one process per group at a time", ha="center", fontsize=7, color=GREY)


def draw_trust() -> None:
    """Draw who reaches what of a service, and what protects each entrance."""
    axis = canvas(8, 3.3)
    axis.add_patch(
        FancyBboxPatch((26, 2), 52, 27, boxstyle="round,pad=0.3", fc="none", ec=GREY, ls="--")
    )
    axis.text(52, 30.2, "the machine of the engine", ha="center", fontsize=8, color=GREY)
    box(axis, 46, 12.5, 15, "engine")
    box(axis, 65, 20.5, 12, "state/\nmode 0600", "#f3e3d1")
    box(axis, 65, 4.5, 12, "control socket\nmode 0600", "#f3e3d1")
    box(axis, 1, 21.5, 14, "source with an\nadmitted key")
    box(axis, 1, 12.5, 14, "program with\na token")
    box(axis, 1, 3.5, 14, "anybody else on\nthe network", "#eeeeee")
    arrow(axis, (15.4, 24.1), (45.6, 17), "CURVE (--keys), bounds (--limit)")
    arrow(axis, (15.4, 15.1), (45.6, 15.1), "Bearer token (--token), TLS by a proxy")
    arrow(axis, (15.4, 6.1), (25.4, 6.1), "")
    axis.text(26.6, 6.1, "✕", ha="center", va="center", color=ORANGE, fontsize=13)
    axis.text(29, 6.1, "refused: bound to 127.0.0.1", va="center", fontsize=7, color=GREY)
    arrow(axis, (61.4, 16.5), (64.6, 21.5))
    arrow(axis, (64.6, 8), (61.4, 13))

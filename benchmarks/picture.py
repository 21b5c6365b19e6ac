"""The pictures of the benches; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from loco_stream.errors import ConfigError

__all__ = ["diagonal", "heat_maps", "lines", "scatter"]


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "a picture needs matplotlib, which is missing: pip install 'loco-stream[plot]'"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)


def scatter(
    points: Mapping[str, tuple[float, float]],
    x_label: str,
    y_label: str,
    path: Path,
    ours: Set[str] = frozenset(),
) -> None:
    """Draw named points over a logarithmic x axis, `ours` in red, and the Pareto front."""
    figure, (axes,) = _figure(9, 6)
    places = set(points.values())
    front = sorted(
        (x, y) for x, y in places if not any(a >= x and b >= y for a, b in places - {(x, y)})
    )
    axes.plot(
        [x for x, _ in front], [y for _, y in front], color="0.7", zorder=1, label="Pareto front"
    )
    for name, (x, y) in points.items():
        axes.scatter(x, y, zorder=2, color="tab:red" if name in ours else "tab:blue")
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8)
    axes.set(xscale="log", xlabel=x_label, ylabel=y_label)
    axes.legend(loc="lower left")
    _save(figure, path)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str, path: Path
) -> None:
    """Draw named lines through (x, y) points."""
    figure, (axes,) = _figure(8, 5)
    for name, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.legend()
    _save(figure, path)


def diagonal(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str, path: Path
) -> None:
    """Draw named lines over the unit square and its diagonal."""
    figure, (axes,) = _figure(6, 6)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    for name, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend()
    _save(figure, path)


def heat_maps(matrices: Mapping[str, Sequence[Sequence[float]]], path: Path) -> None:
    """Draw accuracy matrices, four in a row.

    Rows of a matrix are the tasks trained so far, columns the tasks tested.
    """
    columns = min(4, len(matrices))
    rows = -(-len(matrices) // columns)
    figure, panels = _figure(3.2 * columns, 3.2 * rows, rows, columns)
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=False):
        image = axes.imshow(matrix, vmin=0.0, vmax=1.0, cmap="viridis")
        axes.set(title=name, xlabel="task tested", ylabel="after task")
    for axes in panels[len(matrices) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(panels), label="accuracy")
    _save(figure, path)

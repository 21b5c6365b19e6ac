"""What a run measured: as JSON, as a table, as a picture."""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loco_stream import __version__
from loco_stream.engine.measures import curve_scores
from loco_stream.engine.notebook import table_html
from loco_stream.errors import ConfigError
from loco_stream.metrics.keys import KEYS, keys_for
from loco_stream.persistence.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = ["Report", "jsonable"]

_CLASS_LINES = 10
_ORDER = [key.name for key in KEYS]
_NOTHING: dict[str, Any] = {
    "counter": 0,
    "list": (),
    "parts": {},
    "shares": {},
    "classes": {},
}  # measured without a row


class Report(Mapping[str, Any]):
    """The results of one run, by key.

    Accuracies and kappas are fractions, NaN where nothing was measured.

    Parameters
    ----------
    results
        The measured values; `loco_stream.metrics.keys.KEYS` says what each is. ``at`` of a drift
        counts samples from 0.

    Examples
    --------
    >>> report = Report({"accuracy": 0.5, "n_samples": 2, "kappa": float("nan")})
    >>> report["accuracy"], report.to_dict()
    (0.5, {'n_samples': 2, 'accuracy': 0.5, 'kappa': None})
    """

    def __init__(self, results: Mapping[str, Any]) -> None:
        rest = [key for key in results if key not in _ORDER]
        self._results = {key: results[key] for key in [*_ORDER, *rest] if key in results}

    @classmethod
    def empty(cls, task: str | None, source: str) -> Report:
        """Return the report of a run that no row came to."""
        keys = [key for key in keys_for(task or "classification") if not key.status_only]
        nothing = {key.name: _NOTHING.get(key.kind) for key in keys}
        return cls(
            {**nothing, "version": __version__, "source": source, "task": task, "interrupted": True}
        )

    def __getitem__(self, key: str) -> Any:
        return self._results[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry; what was not measured is None."""
        plain: dict[str, Any] = jsonable(self._results)
        return plain

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, all or nothing.

        Raises
        ------
        ConfigError
            The file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        try:
            atomic_write(path, text.encode())
        except OSError as error:
            raise ConfigError(
                f"cannot write the report {os.fspath(path)}: {error.strerror or error}"
            ) from error

    @property
    def _title(self) -> str:
        partial = ", stopped before the end" if self.get("interrupted") else ""
        return f"{self.get('source', 'run')}: {self['n_samples']:,} samples{partial}"

    def __str__(self) -> str:
        """Return the table as text."""
        from rich.console import Console

        console = Console(width=100, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()

    def table(self) -> Table:
        """Return a short table for a terminal; rows that nothing was measured for are left out."""
        from rich.table import Table

        table = Table(title=self._title, title_justify="left", box=None)
        table.add_column(justify="left")
        table.add_column(justify="right")
        for name, text in self._lines():
            table.add_row(name, text)
        return table

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table, and the picture where there is matplotlib."""
        shown = table_html(self._title, self._lines())
        if not (self.get("curve") or {}).get("at"):
            return shown
        try:
            picture = base64.b64encode(_picture(self._figure(), "png")).decode()
        except ConfigError:
            return shown
        course = "the course of the score over the samples, with the drift alarms"
        return f'{shown}<img alt="{course}" style="max-width: 100%" src="data:image/png;base64,{picture}">'

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the course of the score with the drift marks; needs the extra `plot`.

        Parameters
        ----------
        path
            Where to save the picture, whose ending says its format; None saves nothing.

        Returns
        -------
        Figure
            Of matplotlib; a notebook shows it.

        Raises
        ------
        ConfigError
            matplotlib is missing, or the file cannot be written or has an unknown ending.
        """
        figure = self._figure()
        if path is None:
            return figure
        try:
            atomic_write(path, _picture(figure, Path(path).suffix[1:] or "png"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot write the picture {os.fspath(path)}: {reason}") from error
        return figure

    def _lines(self) -> Iterator[tuple[str, str]]:
        for key in KEYS:
            value = self.get(key.name)
            counted = key.kind == "counter"
            if (
                key.label
                and value is not None
                and (bool(value) if counted else not math.isnan(value))
            ):
                yield key.label, key.form.format(value)
        yield from self._class_lines()
        for name, label in (
            ("latency_us", "latency p50 / p99"),
            ("latency_minute_us", "the same in the last minute"),
        ):
            latency = self.get(name) or {}
            if latency and not math.isnan(latency["p50"]):
                yield label, f"{latency['p50']:,.0f} / {latency['p99']:,.0f} us"
        if "drifts" in self:
            marks = ", ".join(f"{drift['at']:,}" for drift in self["drifts"][-5:])
            more = "... " if len(self["drifts"]) > 5 else ""
            yield "drifts at", f"{more}{marks}" if marks else "none"
        for sentence in self.get("unused") or ():
            yield "not used", sentence

    def _class_lines(self) -> Iterator[tuple[str, str]]:
        """Yield a line for each label, the worst found first where there are many."""
        scores = dict(self.get("per_class") or {})
        order = sorted(
            scores, key=lambda label: (not scores[label]["support"], scores[label]["recall"])
        )
        shown = [label for label in scores if label in order[:_CLASS_LINES]]
        for label in shown:
            rows = scores[label]["support"]
            found = f"{scores[label]['recall']:.1%} found" if rows else "none came"
            precise = scores[label]["precision"]
            right = (
                "never the answer"
                if math.isnan(precise)
                else f"{precise:.1%} of such answers right"
            )
            yield f"label {label}: {rows:,} rows", f"{found}, {right}"
        if len(shown) < len(scores):
            yield f"{len(scores) - len(shown)} more labels", "of which more are found"

    def _figure(self) -> Figure:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ConfigError(
                "a picture needs matplotlib: pip install 'loco-stream[plot]'"
            ) from error
        task = self.get("task", "classification")
        windowed, overall = curve_scores(task)
        axis = (
            "mean absolute error (units of the label)"
            if task == "regression"
            else "accuracy (fraction)"
        )
        figure = Figure(figsize=(9, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        curve = self["curve"]
        axes.plot(curve["at"], curve[windowed], lw=1.2, label=f"{axis} in the last window")
        axes.plot(curve["at"], curve[overall], lw=1.2, ls="--", label=f"{axis} so far")
        for i, drift in enumerate(self.get("drifts", ())):
            axes.axvline(
                drift["at"], color="tab:red", lw=0.8, alpha=0.7, label="drift" if i == 0 else None
            )
        if windowed == "window_accuracy":
            axes.set_ylim(0, 1)
        axes.set(xlabel="samples", ylabel=axis, title=self._title)
        axes.grid(alpha=0.3)
        axes.legend(loc="best")
        return figure


def _picture(figure: Figure, kind: str) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format=kind)
    return picture.getvalue()


def jsonable(value: Any) -> Any:
    """Return plain values that JSON can carry.

    NaN and infinity, which JSON does not know, become None.

    Examples
    --------
    >>> jsonable({1: (0.5, float("nan"))})
    {'1': [0.5, None]}
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, os.PathLike):
        return str(Path(value))
    return value

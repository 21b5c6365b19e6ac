"""The results of a run: as values, JSON, a table and a picture."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loco_stream import __version__
from loco_stream._persistence.content import Config, Plain, State
from loco_stream._persistence.outputs import image, write_output, write_picture
from loco_stream._text import counted, one_line
from loco_stream.engine._notebook import table_html
from loco_stream.engine._report_lines import lines, sentences
from loco_stream.engine._report_picture import draw
from loco_stream.errors import ConfigError
from loco_stream.metrics._keys import KEYS, keys_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

__all__ = ["Report", "jsonable"]

_WIDTH = 80  # columns of the table as text
_ORDER = [key.name for key in KEYS]
# by kind, the values of a run without a row
_EMPTY: Config = {"counter": 0, "list": (), "parts": {}, "shares": {}, "classes": {}}


class Report(Mapping[str, Plain]):
    """The results of one run, by key.

    Accuracies and kappas are fractions, NaN where nothing was measured.

    Parameters
    ----------
    results
        The measured values; the guide describes each under *What a run measures*. ``at`` of a
        drift counts samples from 0.

    Examples
    --------
    >>> report = Report({"accuracy": 0.5, "n_samples": 2, "kappa": float("nan")})
    >>> report
    <Report of run: 2 samples, accuracy 0.5000>
    >>> report["accuracy"], report.to_dict()
    (0.5, {'n_samples': 2, 'accuracy': 0.5, 'kappa': None})
    """

    def __init__(self, results: State) -> None:
        rest = [key for key in results if key not in _ORDER]
        self._results = {key: results[key] for key in [*_ORDER, *rest] if key in results}

    @classmethod
    def empty(cls, task: str | None, source: str) -> Report:
        """Return the report of a run without a row."""
        keys = [key for key in keys_for(task or "classification") if not key.status_only]
        values = {key.name: _EMPTY.get(key.kind) for key in keys}
        run = {"version": __version__, "source": source, "task": task, "interrupted": True}
        return cls({**values, **run})

    def __getitem__(self, key: str) -> Plain:
        return self._results[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        """Return one line; `str` returns the table."""
        main = "mae" if "mae" in self else "accuracy"
        value = self.get(main)
        if self.get("task") == "watching":
            return f"<Report of {self._title}, {counted(self['n_alarms'], 'alarm')}>"
        score = "" if value is None or math.isnan(value) else f", {main} {value:.4f}"
        drifts = f", {counted(self['n_drifts'], 'drift')}" if self.get("n_drifts") else ""
        return f"<Report of {self._title}{score}{drifts}>"

    def to_dict(self) -> Config:
        """Return plain values that JSON can hold; None for what was not measured."""
        plain: Config = jsonable(self._results)
        return plain

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, atomically.

        Raises
        ------
        ConfigError
            The file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        write_output("the report", path, text.encode())

    @property
    def _title(self) -> str:
        partial = ", stopped before the end" if self.get("interrupted") else ""
        rows = counted(self["n_samples"], "row" if self.get("task") == "watching" else "sample")
        return f"{self.get('source', 'run')}: {rows}{partial}"

    def __str__(self) -> str:
        """Return the table as text."""
        from rich.console import Console

        console = Console(width=_WIDTH, color_system=None, force_jupyter=False)
        with console.capture() as captured:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in captured.get().splitlines()).rstrip()

    def table(self) -> Group:
        """Return a short table for a terminal, without rows for what was not measured.

        What was not used stands below it, a line per sentence.
        """
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        # as texts: a label is no markup
        title = Text(one_line(self._title), style="table.title")
        table = Table(title=title, title_justify="left", box=None)
        table.add_column(justify="left", overflow="fold")
        table.add_column(justify="right", overflow="fold")
        for name, text in lines(self):
            table.add_row(Text(one_line(name)), Text(one_line(text)))
        return Group(table, *(Text(one_line(sentence)) for sentence in sentences(self)))

    def _repr_html_(self) -> str:
        """Return the table, and the picture if matplotlib is installed, for a notebook."""
        below = [("", sentence) for sentence in sentences(self)]
        table = table_html(self._title, [*lines(self), *below])
        if not (self.get("curve") or {}).get("at"):
            return table
        try:
            picture = base64.b64encode(image(self.plot(), "png")).decode()
        except ConfigError:
            return table
        description = "the score over the samples, with the drift alarms"
        style = "max-width: 100%"
        source = f"data:image/png;base64,{picture}"
        return f'{table}<img alt="{description}" style="{style}" src="{source}">'

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the score over the stream, with the drift alarms; needs the extra `plot`.

        Parameters
        ----------
        path
            Where to save the picture, in the format of its ending; None saves nothing.

        Returns
        -------
        Figure
            Of matplotlib.

        Raises
        ------
        ConfigError
            matplotlib is missing, or the file cannot be written or has an unknown ending.
        """
        figure = draw(self, self._title)
        if path is not None:
            write_picture(path, figure)
        return figure


def jsonable(value: Any) -> Plain:
    """Return plain values that JSON can hold; NaN and infinity become None.

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

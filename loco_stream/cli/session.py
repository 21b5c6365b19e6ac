"""From options to a running engine: what `run` and `serve` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from loco_stream.cli.options import build_model, parse_settings
from loco_stream.cli.signals import SignalHandler
from loco_stream.engine.progress import watch

__all__ = ["Session", "has_past", "stored_settings"]

_STORED = ("task", "seed", "preset", "settings", "delay", "window", "holdout")


class Session:
    """One run of one source.

    Parameters
    ----------
    source
        Where rows come from, or a reader of it.
    options
        Those of `model_options` and `holdout`; `stored_settings` fills in what a resumed run was
        begun with.
    engine_options
        Passed to `StreamEngine` as they are.
    """

    def __init__(
        self, source: Any, options: Mapping[str, Any], engine_options: Mapping[str, Any]
    ) -> None:
        from loco_stream.engine.source_reader import SourceReader

        self._feed = source if isinstance(source, SourceReader) else SourceReader(source)
        self._running: Any = None
        self._options = dict(options)
        self._engine_options = dict(engine_options)

    def run(
        self,
        handler: SignalHandler,
        max_samples: int | None,
        quiet: bool,
        beside: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
    ) -> Any:
        """Run to the end and return the report.

        Raises `Interrupt` if a signal comes before the first row.

        Where the run ends by an error, `report` is that of what was done before.

        `beside` opens what runs while the engine does, such as a metrics port.
        """
        try:
            handler.engine = self._running = engine = self._engine()
        except BaseException:
            self._feed.source.close()
            raise
        with beside(engine), watch(engine, quiet, max_samples):
            return engine.run(max_samples)

    @property
    def report(self) -> Any:
        """The report of a run that has ended; None before the first row."""
        report = None if self._running is None else self._running.report
        return report if report is not None and report["n_samples"] else None

    def _engine(self) -> Any:
        from loco_stream.engine import StreamEngine
        from loco_stream.engine.task import find_task
        from loco_stream.monitor import TaskMonitor

        options = self._options
        feed = self._feed
        task = options["task"] or find_task(feed)
        model = build_model(
            task, options["seed"], parse_settings(options["settings"]), options["preset"]
        )
        holdout = {} if options["holdout"] is None else {"holdout": options["holdout"]}
        monitor = TaskMonitor(problem=task, seed=options["seed"], **holdout)
        kept = {name: options[name] for name in _STORED if name != "task"}
        return StreamEngine(
            model,
            feed,
            monitor=monitor,
            delay=options["delay"],
            score_window=options["window"],
            task=task,
            settings={**kept, "task": task},
            **self._engine_options,
        )


def has_past(checkpoint: str) -> bool:
    """Return whether a folder holds a checkpoint."""
    return any(Path(checkpoint).glob("checkpoint-*.loco"))


def stored_settings(checkpoint: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with those not given replaced by what the run in `checkpoint` was begun with."""
    merged = {name: options[name] for name in _STORED}
    if checkpoint is None or not has_past(checkpoint):
        return merged
    from loco_stream.engine.checkpoint import newest

    _, saved, _ = newest(checkpoint)
    context = click.get_current_context()
    for name in _STORED:
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            merged[name] = saved.config.get("settings", {}).get(name, merged[name])
    return merged

"""Run many independent measurements with a progress bar, storing each result at once.

A bench is a list of `Run`s and one `Results` file. A run is skipped if the file has its result from
the same code, so that an interrupted bench continues where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import record
from loco_stream.errors import ConfigError

__all__ = ["Results", "Run", "perform"]


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: `measure(**arguments)` returns a dict ready for JSON.

    `key` names it within its bench (`stream/contender/seed`), `code` is the fingerprint of the code
    it depends on, `measure` is a module-level function so that another process can run it.
    """

    key: str
    measure: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)
    code: str = ""


class Results:
    """The results of one bench in a JSON file, which is replaced atomically after every run.

    Parameters
    ----------
    path
        The file. It is created with its directories at the first result.
    fresh
        Discard the results in the file.

    Raises
    ------
    ConfigError
        If the file exists and does not hold results.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path = path
        self.environment = record()
        self.runs: dict[str, dict[str, Any]] = {}
        if path.exists() and not fresh:
            try:
                self.runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{str(path)!r} does not hold bench results; remove it or use --fresh"
                ) from error

    def has(self, run: Run) -> bool:
        """Return whether the file has the result of `run` from the same code."""
        return run.key in self.runs and self.runs[run.key].get("code") == run.code

    def add(self, run: Run, values: dict[str, Any]) -> None:
        """Store a result and write the file."""
        made_by = {key: self.environment[key] for key in ("command", "commit")}
        self.runs[run.key] = {**values, "code": run.code, **made_by}
        self.write()

    def write(self) -> None:
        """Write a temporary file beside the file, then replace it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(f".{os.getpid()}.part")
        text = json.dumps({"environment": self.environment, "runs": self.runs}, indent=1)
        scratch.write_text(text + "\n", encoding="utf-8")
        scratch.replace(self.path)


def _answers(todo: Sequence[Run], jobs: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Yield runs and results, in order in this process or as they finish in `jobs` others."""
    if jobs <= 1:
        yield from ((run, run.measure(**run.arguments)) for run in todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run.measure, **run.arguments): run for run in todo}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def perform(
    runs: Sequence[Run], results: Results, console: Console, jobs: int = 1
) -> dict[str, dict[str, Any]]:
    """Do the runs without a result and return the results of all `runs` by key."""
    todo = [run for run in runs if not results.has(run)]
    if len(todo) < len(runs):
        console.print(
            f"{len(runs) - len(todo)} of {len(runs)} results are already in {results.path}"
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(todo[0].key if todo else "done", total=len(todo))
        for number, (run, values) in enumerate(_answers(todo, jobs), start=1):
            results.add(run, values)
            progress.update(
                task, advance=1, description=todo[number].key if number < len(todo) else run.key
            )
    chosen = {run.key: results.runs[run.key] for run in runs}
    results.runs = chosen | results.runs  # the file keeps other results, after the chosen ones
    results.write()
    return chosen

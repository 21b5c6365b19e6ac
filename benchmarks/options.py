"""Options that all benches share, and how a bench runs and shows its results."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from benchmarks.grid import Grid
from benchmarks.runs import Results, Run, perform
from loco_stream.errors import ConfigError, SourceError

__all__ = ["Settings", "common", "find_interpreter", "print_missing", "share_option"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of every bench: data directory, numbers of seeds and processes, output."""

    directory: str | None
    seeds: int
    jobs: int
    out: Path
    fresh: bool

    def anew(self) -> Settings:
        """Return settings without old results and with one process.

        They are for figures that are comparable only within one run.
        """
        return replace(self, fresh=True, jobs=1)

    def run(
        self,
        name: str,
        runs: Sequence[Run],
        grids: Callable[[dict[str, dict[str, Any]]], list[Grid]],
        picture: Callable[[dict[str, dict[str, Any]], Path], None] | None = None,
    ) -> None:
        """Perform `runs` into `out/NAME.json`, print the tables, draw the picture.

        Raises
        ------
        SourceError
            There is nothing to run, as all data is missing.
        """
        if not runs:
            raise SourceError(
                "nothing is left to measure: the notes above name the missing files, and where to "
                "get them"
            )
        console = Console()
        results = Results(self.out / f"{name}.json", fresh=self.fresh)
        done = perform(runs, results, console, self.jobs)
        for grid in grids(done):
            for table in grid.rich(console.width):
                console.print(table)
        console.print(f"results in {results.path}")
        if picture is not None:
            picture(done, self.out / f"{name}.png")
            console.print(f"picture in {self.out / f'{name}.png'}")


def print_missing(notes: Sequence[str]) -> None:
    """Print a note for everything that is left out because its data is missing."""
    for note in notes:
        Console().print(f"[yellow]left out:[/yellow] {note}")


def find_interpreter(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the value of `--peers`, which is looked for before anything is measured.

    Raises
    ------
    ConfigError
        There is no such program.
    """
    if value is not None and shutil.which(value) is None:
        raise ConfigError(
            f"`--peers` must be the Python interpreter of an environment, got {value!r}, "
            "which is no program"
        )
    return value


share_option = click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Part of the data, for a quick look.",
)


def common(seeds: int) -> Callable[[F], F]:
    """Add `--data`, `--seeds`, `--jobs`, `--out` and `--fresh`, passed as one `settings`."""

    def decorate(function: F) -> Any:
        @wraps(function)
        def command(
            directory: str | None, seeds: int, jobs: int, out: Path, fresh: bool, **own: Any
        ) -> Any:
            return function(settings=Settings(directory, seeds, jobs, out, fresh), **own)

        for option in reversed(_options(seeds)):
            command = option(command)
        return command

    return decorate


def _options(seeds: int) -> list[Callable[[Any], Any]]:
    return [
        click.option(
            "--data",
            "directory",
            type=click.Path(exists=True, file_okay=False),
            envvar="LOCO_STREAM_DATA",
            help="Directory with mnist.npz, noaa_weather.npz, nettalk.npz (or set "
            "LOCO_STREAM_DATA); notes name the files that are missing and where to get them.",
        ),
        click.option(
            "--seeds",
            type=click.IntRange(min=1),
            default=seeds,
            show_default=True,
            help="Number of seeds (0, 1, ...) of every model that uses one.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Parallel processes; more than one lowers the throughput figures.",
        ),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("out/bench"),
            show_default=True,
            help="Directory of results and pictures.",
        ),
        click.option(
            "--fresh", is_flag=True, help="Measure everything again instead of continuing."
        ),
    ]

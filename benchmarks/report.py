"""`python -m benchmarks report`: one Markdown document from the results of the benches."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from benchmarks import BENCHES
from loco_stream.errors import ConfigError

__all__ = ["command", "document"]

_HEAD = """# Results of the benches

Made by `python -m benchmarks report` from the files of `python -m benchmarks NAME`; not edited by
hand. Accuracies are prequential (each sample is predicted, scored, then learned) unless a table
says otherwise. Times are CPU time of one process on a shared machine: compare their ratios.
"""


def _section(name: str, saved: dict[str, Any]) -> str:
    """Return the section of one bench: its circumstances and its tables."""
    environment = saved["environment"]
    versions = ", ".join(
        f"{package} {version}" for package, version in environment["versions"].items()
    )
    runs = saved["runs"].values()
    commands, commits = (
        list(dict.fromkeys(str(run[key]) for run in runs)) for key in ("command", "commit")
    )
    lines = [
        f"## {name}",
        "",
        *(f"- command: `{command}`" for command in commands),
        f"- commit: {', '.join(commits)}",
        f"- versions: {versions}",
        f"- machine: {environment['machine']}; {environment['date']}",
        "",
    ]
    grids = import_module(BENCHES[name].partition(":")[0]).grids(saved["runs"])
    return "\n".join([*lines, *(f"{grid.markdown()}\n" for grid in grids)])


def document(directory: Path) -> str:
    """Return the document of all results in `directory`, benches in the order of the registry.

    Raises
    ------
    ConfigError
        If there is no result there.
    """
    paths = {name: directory / f"{name}.json" for name in BENCHES}
    there = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.is_file()
    }
    if not there:
        raise ConfigError(
            f"no results in {str(directory)!r}; run `python -m benchmarks NAME` first, or give "
            "--results DIR"
        )
    return "\n".join([_HEAD, *(_section(name, saved) for name, saved in there.items())])


@click.command("report")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/bench"),
    show_default=True,
    help="Directory of the JSON results.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("out/bench/RESULTS.md"),
    show_default=True,
    help="The document to write.",
)
def command(results: Path, output: Path) -> None:
    """Write all results as a Markdown document, with commands, commits, versions and machine.

    \b
    Examples
      python -m benchmarks report --output benchmarks/RESULTS.md
    """
    text = document(results)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    click.echo(f"wrote {output}")

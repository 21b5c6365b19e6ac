"""`loco-stream bench`: hands over to `python -m benchmarks` of the checkout it is run from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from loco_stream.errors import ConfigError

__all__ = ["command"]


@click.command(
    "bench", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[NAME] [OPTIONS]")
def command(arguments: tuple[str, ...]) -> None:
    """Measure speed and quality on this machine.

    The benchmarks are no part of the installed package: run this in a checkout of the repository,
    where `python -m benchmarks NAME` does the same.

    \b
    Examples
      loco-stream bench speed
      loco-stream bench speed --help
    """
    home = next(
        (folder for folder in (Path.cwd(), Path(__file__).parents[2]) if _is_checkout(folder)), None
    )
    if home is None:
        raise ConfigError(
            "the benchmarks are not part of the installed package: clone the repository and run "
            "`loco-stream bench` (or `python -m benchmarks`) in it"
        )
    sys.exit(
        subprocess.run(
            [sys.executable, "-m", "benchmarks", *(arguments or ("--help",))], cwd=home
        ).returncode
    )


def _is_checkout(folder: Path) -> bool:
    return (folder / "benchmarks" / "__main__.py").is_file()

"""`python -m benchmarks NAME`: measure speed and quality on this machine."""

from __future__ import annotations

import click

from loco_stream.cli._lazy_group import LazyGroup


@click.group(cls=LazyGroup, table="benchmarks:BENCHES")
def main() -> None:
    """Measure speed and quality on this machine.

    \b
    Examples
      python -m benchmarks speed
      python -m benchmarks speed --help
    """


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

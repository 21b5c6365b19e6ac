"""Lists of what this installation has: kinds of sources, and extras with their distributions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import requires

import click

from loco_stream._cli._config import ConfiguredCommand

_OPTIONS = (
    "Options of a source or sink follow its address: "
    '"csv:rows.csv?target=kind&time=when&decimal=,&drop=note". The error about an unknown one '
    "lists all, and `python -m pydoc loco_stream.connectors` describes them."
)
_FOR_DEVELOPERS = {"test", "check", "docs", "bench"}


class CommandWithSource(ConfiguredCommand):
    """A command whose help ends with lists of all kinds of sources and sinks."""

    arguments: Mapping[str, str] = {"source": "URL of the rows: see Sources below."}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists; only this imports the connectors."""
        from loco_stream.connectors._registry import SINKS, SOURCES, connectors

        for heading, table in (("Sources", SOURCES), ("Sinks", SINKS)):
            entries = [entry for entry in connectors(table) if not entry.is_variant]
            with formatter.section(heading):
                formatter.write_dl([(entry.example, entry.summary) for entry in entries])
        formatter.write_paragraph()
        formatter.write_text(_OPTIONS)


def extras() -> dict[str, tuple[str, ...]]:
    """Return the distributions that each extra installs, from the metadata of the package."""
    found: dict[str, list[str]] = {}
    for requirement in requires("loco-stream") or ():
        match = re.match(r"""([\w.-]+).*;.*\bextra == ['"]([\w-]+)['"]""", requirement)
        if match is not None and match[2] not in _FOR_DEVELOPERS:
            found.setdefault(match[2], []).append(match[1])
    return {name: tuple(distributions) for name, distributions in found.items()}

"""A group of commands that are imported only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["RegistryGroup"]


class RegistryGroup(click.Group):
    """Finds its commands in a table of ``name -> "module:command"``.

    Parameters
    ----------
    table
        Module and attribute of that table, as ``"module:NAME"``; read when the group is first used.
    """

    def __init__(self, *args: Any, table: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def _entries(self) -> Mapping[str, str]:
        module, _, name = self._table.partition(":")
        entries: Mapping[str, str] = getattr(import_module(module), name, {})
        return entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self._entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        where = self._entries().get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

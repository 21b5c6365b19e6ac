"""A group of commands that are imported only when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from loco_stream.errors import ConfigError


class LazyGroup(click.Group):
    """A click group that finds its commands in a table ``name -> "module:command"``."""

    def __init__(self, *args: object, table: Mapping[str, str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click checks its own options
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is no such command."""
        where = self._table.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name.

        Raises `ConfigError` if there is no such command; the text suggests the nearest ones.
        """
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and name not in self._table:
            raise ConfigError(self.unknown(ctx, name))
        return super().resolve_command(ctx, args)

    def unknown(self, ctx: click.Context, name: str) -> str:
        """Return the sentence about a command that does not exist."""
        from loco_stream._text import did_you_mean

        return (
            f"there is no command {name!r}{did_you_mean(name, self._table)} "
            f"(`{ctx.command_path} --help` lists all)"
        )

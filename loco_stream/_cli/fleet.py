"""`loco-stream fleet`: one model per value of a feature, and the commands of its operator."""

from __future__ import annotations

import click

from loco_stream._cli._lazy_group import LazyGroup

_OPERATIONS = (
    "status",
    "worst",
    "changed",
    "decide",
    "forecast",
    "evict",
    "reset",
    "export",
    "merge",
)
_DEFAULT = "run"
_TABLE = {
    _DEFAULT: "loco_stream._cli._fleet_run:command",
    **{name: f"loco_stream._cli._fleet_operations:{name}" for name in _OPERATIONS},
}


class _FleetGroup(LazyGroup):
    """A group whose command may be left out: `fleet SOURCE` is `fleet run SOURCE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command unless there is one, or help is requested.

        A single word is a mistyped command: a source has a scheme.
        """
        known = {*_TABLE, *ctx.help_option_names}
        if args and args[0] not in known and not args[0].isidentifier():
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(
    "fleet", cls=_FleetGroup, table=_TABLE, short_help="Train one model per value of a feature."
)
def command() -> None:
    """Train one model per value of a feature, and operate the fleet of models.

    `loco-stream fleet SOURCE` is short for `loco-stream fleet run SOURCE`; `loco-stream fleet run
    --help` lists its options.

    The other commands take the directory of a fleet at rest, or the --control address of a running
    one.

    \b
    Examples
      loco-stream fleet zmq+reliable://127.0.0.1:5555 --key device --checkpoint fleet/
      loco-stream fleet worst fleet/
      loco-stream fleet reset ipc:///tmp/fleet "press 7"
      loco-stream fleet forecast ipc:///tmp/fleet "press 7"
      loco-stream fleet export fleet/ "press 7" --to press-7.loco
      loco-stream fleet merge fleet/ "press 7" "press 8" --to presses.loco
    """

"""The options of the live page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._logging import LOGGER
from loco_stream._cli._option_group import RepeatedOption, flag, option_group, typed
from loco_stream._ranges import IntRange
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream._cli._network_options import NetworkOptions
    from loco_stream.dashboard import Dashboard
    from loco_stream.dashboard._fleet_page import FleetPage

DASHBOARD_PORT = 8765


@dataclass(frozen=True, slots=True)
class FleetPageOptions:
    """Whether and where a command shows its live page."""

    dashboard: bool
    dashboard_port: int
    open_page: bool

    @contextmanager
    def page(self, network: NetworkOptions) -> Iterator[list[Any]]:
        """Serve the page while the block runs; yield the `watchers` of an engine or runner."""
        if not self.dashboard:
            yield []
            return
        host, token, allowed = network.listener()
        with self._make(
            port=self.dashboard_port, host=host, allowed_hosts=allowed, token=token
        ) as page:
            LOGGER.info("live page: %s", page.url)
            if self.open_page:
                click.launch(page.url)
            yield [page]

    def check(self) -> None:
        """Raise `ConfigError` if an option of the page is given without --dashboard."""
        for field in fields(self)[1:]:
            if typed(field.name) and not self.dashboard:
                raise ConfigError(f"`{flag(field.name)}` needs --dashboard")

    def _make(self, **where: Any) -> Dashboard | FleetPage:
        from loco_stream.dashboard._fleet_page import FleetPage

        return FleetPage(**where)


@dataclass(frozen=True, slots=True)
class DashboardOptions(FleetPageOptions):
    """Whether and where a command shows its live page, and what it is compared with."""

    compare: tuple[str, ...]

    def _make(self, **where: Any) -> Dashboard | FleetPage:
        from loco_stream.dashboard import Dashboard

        return Dashboard(**where, compare=self.compare)


_OPTIONS = (
    click.option("--dashboard", is_flag=True, help="Serve a live page of the run."),
    click.option(
        "--dashboard-port",
        type=IntRange(0, 65535),
        default=DASHBOARD_PORT,
        metavar="PORT",
        help="Port of the page; 0 selects a free one.",
    ),
    click.option("--open", "open_page", is_flag=True, help="Open the page in a browser."),
)
fleet_page_options = option_group("page", FleetPageOptions, *_OPTIONS)
dashboard_options = option_group(
    "page",
    DashboardOptions,
    *_OPTIONS,
    click.option(
        "--compare",
        cls=RepeatedOption,
        metavar="URL",
        help="Show the run of another page beside this one, for example http://127.0.0.1:8766/; "
        "the token of --token is sent to it. Repeatable.",
    ),
)

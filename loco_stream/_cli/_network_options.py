"""Where the page, the metrics and the HTTP API listen, and who may use them."""

from __future__ import annotations

from dataclasses import dataclass

import click

from loco_stream._cli._option_group import PATH, RepeatedOption, flag, option_group, typed
from loco_stream.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Address, accepted Host headers, and the file with the token that clients must send."""

    bind: str
    allow_host: tuple[str, ...]
    token: str | None

    def check(self, *ports: object, needed: str) -> None:
        """Raise `ConfigError` if the command line has an option and no port is open.

        ports: values of the options that open ports; false if not given
        needed: these options, for the error
        """
        for name in ("bind", "allow_host", "token"):
            if typed(name) and not any(ports):
                raise ConfigError(f"`{flag(name)}` needs {needed}")

    def listener(self) -> tuple[str, str | None, tuple[str, ...]]:
        """Return the address, the token and the accepted Host headers."""
        return self.bind, self.read_token(), self.allow_host

    def read_token(self) -> str | None:
        """Return the token, None if there is no file; a missing file is created.

        Raises `ConfigError` if other machines reach the address and there is no file, or others can
        read it.
        """
        self.check_token()
        if self.token is None:
            return None
        from loco_stream.connectors._control import make_token

        return make_token(self.token)

    def check_token(self) -> None:
        """Raise `ConfigError` if other machines reach the address and there is no token file."""
        if self.token is None and self.bind not in LOOPBACK:
            raise ConfigError(
                f"`token` must be given for the address {self.bind}, which other machines reach",
                option="token",
            )


network_options = option_group(
    "network",
    NetworkOptions,
    click.option(
        "--bind",
        default=LOOPBACK[0],
        metavar="ADDRESS",
        help="Address that the page, the metrics and the HTTP API listen on.",
    ),
    click.option(
        "--allow-host",
        cls=RepeatedOption,
        metavar="NAME",
        help="Additional Host header that the page, the metrics and the HTTP API accept. "
        "Repeatable.",
    ),
    click.option(
        "--token",
        "--http-token",
        "token",
        type=PATH,
        metavar="FILE",
        help="Token file for the page, the metrics and the HTTP API; created if absent. Required "
        "if ADDRESS is not local. Browsers ask for the token as a password.",
    ),
)

"""`loco-stream config`: check configuration files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import click

from loco_stream._cli._config import (
    COMMANDS,
    command_named,
    command_tables,
    option_values,
    read_config,
)
from loco_stream._cli._dashboard_options import DASHBOARD_PORT
from loco_stream._cli._http_api import check_http
from loco_stream._cli._network_options import LOOPBACK, NetworkOptions
from loco_stream._cli._option_group import PATH
from loco_stream._ranges import Choice
from loco_stream.errors import ConfigError, LocoStreamError


@click.group("config")
def command() -> None:
    """Check configuration files for --config.

    \b
    Examples
      loco-stream config check service.toml
      loco-stream config check service.toml --command serve
      loco-stream serve --http 8080 --checkpoint state --print-config > service.toml
    """


@command.command("check")
@click.argument("file", type=PATH)
@click.option(
    "--command",
    "name",
    type=Choice(COMMANDS),
    help="Command that will read the file.  [default: those with a table in it, or one that fits]",
)
def check(file: str, name: str | None) -> None:
    """Check the names, values, URLs and passwords in FILE; open no URL."""
    config = read_config(file)
    names = [name] if name else list(command_tables(config))
    if not names:
        names = [_fitting(config, file)]
    for each in names:
        _check(config, each, file)
        click.echo(f"{file} is valid for `loco-stream {each}`")


def _fitting(config: Mapping[str, Any], file: str) -> str:
    """Return the first command that has all options in the file, `serve` if none has."""
    for name in ("serve", "run", "watch", "fleet"):
        try:
            option_values(config, command_named(name), file)
        except ConfigError:
            continue
        return name
    return "serve"


def _check(config: Mapping[str, Any], name: str, file: str) -> None:
    from loco_stream.connectors._urls import check_url

    found = command_named(name)
    values = option_values(config, found, file)
    context = click.Context(found, info_name=name)
    context.default_map = values
    read = {}
    for parameter in found.params:
        if parameter.name not in values:
            continue
        try:
            read[parameter.name] = parameter.process_value(context, values[parameter.name])
        except click.BadParameter as error:
            raise ConfigError(f"{file}: {error.format_message()}") from None
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
    sources = [("source", read["source"])] if "source" in read else []
    for key, url in (*sources, *(("sink", url) for url in read.get("sinks", ()))):
        if url.startswith("@"):  # the lines of a file are secrets
            continue
        try:
            check_url(url, is_sink=key == "sink")
        except LocoStreamError as error:
            raise ConfigError(f"{file}: `{key}` of `{name}`: {error}") from None
    try:
        _check_addresses(read, context)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _check_addresses(values: Mapping[str, Any], context: click.Context) -> None:
    """Raise `ConfigError` if an address in the file is wrong, or needs a token.

    values: those of the file; bind and token may also come from the environment
    """
    of_environment = {
        parameter.name: parameter.resolve_envvar_value(context)
        for parameter in context.command.params
        if parameter.name in ("bind", "token")
    }
    given = {**values, **{name: text for name, text in of_environment.items() if text}}
    network = NetworkOptions(given.get("bind", LOOPBACK[0]), (), given.get("token"))
    listeners = {}
    if values.get("http") is not None:
        listeners["http"] = check_http(values["http"], network)
    if values.get("metrics_port") is not None:
        listeners["metrics-port"] = (network.bind, values["metrics_port"])
    if values.get("dashboard"):
        port = values.get("dashboard_port", DASHBOARD_PORT)
        listeners["dashboard-port"] = (network.bind, port)
    if listeners.keys() - {"http"}:
        network.check_token()
    if values.get("control") is not None:
        from loco_stream.connectors._control import check_control

        check_control(values["control"])
        host, _, port = values["control"].removeprefix("tcp://").rpartition(":")
        if port.isdecimal():
            listeners["control"] = (host, int(port))
    _check_distinct(listeners)


def _check_distinct(listeners: Mapping[str, tuple[str, int]]) -> None:
    """Raise `ConfigError` if two options open the same port; 0 is a free one."""
    for name, other in combinations(listeners, 2):
        host, port = listeners[name]
        other_host, other_port = listeners[other]
        if port and port == other_port and _overlap(host, other_host):
            raise ConfigError(f"`{other}` must be another port than `{name}`, got {port} for both")


def _overlap(host: str, other: str) -> bool:
    """Return whether two addresses share one: 0.0.0.0 is every address of IPv4."""
    hosts = {LOOPBACK[0] if each == LOOPBACK[1] else each for each in (host, other)}
    return len(hosts) == 1 or ("0.0.0.0" in hosts and not any(":" in each for each in hosts))

"""The ports of a service: Prometheus, the control socket and the HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from loco_stream._cli._decision import rule_of_command
from loco_stream._cli._network_options import NetworkOptions
from loco_stream._cli._option_group import PATH, Decorator, option_group
from loco_stream._cli._service_state import ServiceState
from loco_stream._ranges import IntRange
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream._persistence.content import Plain
    from loco_stream.engine import StreamEngine

MakeCommands: TypeAlias = Callable[[], dict[str, Callable[..., Any]]]


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """Where a running engine or fleet takes commands and shows metrics."""

    metrics_port: int | None
    control: str | None
    control_token: str | None

    def open_metrics(self, ports: ExitStack, state: ServiceState, network: NetworkOptions) -> None:
        """Serve metrics until `ports` is closed, if there is a port for them."""
        if self.metrics_port is not None:
            from loco_stream.engine._prometheus import EngineCollector, serve_metrics

            metrics = EngineCollector(state)
            ports.callback(serve_metrics(metrics, self.metrics_port, *network.listener()))

    def open_control(self, ports: ExitStack, make_commands: MakeCommands) -> None:
        """Take commands until `ports` is closed, if there is an address for them."""
        if self.control is None:
            if self.control_token is not None:
                raise ConfigError("`--control-token` needs --control")
            return
        from loco_stream.connectors._control import Control, make_token

        token = None if self.control_token is None else make_token(self.control_token)
        ports.callback(Control(self.control, make_commands(), token).close)


@dataclass(frozen=True, slots=True)
class PortOptions(ControlOptions):
    """Where a service answers."""

    http: str | None

    @contextmanager
    def open(self, state: ServiceState, network: NetworkOptions) -> Iterator[None]:
        """Serve metrics and control commands while the block runs."""
        with ExitStack() as ports:
            self.open_control(ports, lambda: _commands(state))
            self.open_metrics(ports, state, network)
            yield


def engine_commands(state: ServiceState) -> dict[str, Callable[..., Any]]:
    """Return what `loco-stream control` can call of any engine, by name."""
    from loco_stream.engine._report import jsonable

    def declare(name: str, /, t0: float, t1: float) -> dict[str, object]:
        return {"n_rows": state.ask(lambda engine: getattr(engine, name)(t0, t1))}

    return {
        "status": lambda: jsonable({**state.status, "alarm": state.alarm}),
        "checkpoint": partial(_done, state.request_checkpoint),
        "confirm": partial(declare, "confirm"),
        "dismiss": partial(declare, "dismiss"),
        "stop": partial(_done, state.stop),
    }


def _commands(state: ServiceState) -> dict[str, Callable[..., Any]]:
    """Return what `loco-stream control` can call of a service, by name."""

    def decide(rule: Plain) -> None:
        given = rule_of_command(rule)
        state.ask(lambda engine: engine.set_decision(**given))

    return {
        **engine_commands(state),
        "rule": lambda: {"rule": state.ask(_rule_of)},
        "decide": partial(_done, decide),
        "forget": partial(_done, state.forget),
    }


def _done(work: Callable[..., object], /, **arguments: Any) -> dict[str, object]:
    work(**arguments)
    return {}


def _rule_of(engine: StreamEngine) -> dict[str, Any]:
    from loco_stream.engine._model_adapter import last_step
    from loco_stream.estimators._decision import shown_rule

    return shown_rule(getattr(last_step(engine.model), "decision", None))


def control_options(commands: str) -> tuple[Decorator, ...]:
    """Return the options of `ControlOptions`; `commands` are those that --control accepts."""
    return (
        click.option(
            "--metrics-port",
            type=IntRange(1, 65535),
            metavar="PORT",
            help="Serve Prometheus metrics at PORT of the --bind address, path /metrics.",
        ),
        click.option(
            "--control",
            metavar="ADDR",
            help=f"Accept {commands} at ipc://PATH or tcp://127.0.0.1:PORT.",
        ),
        click.option(
            "--control-token",
            type=PATH,
            metavar="FILE",
            help="Token file for --control; created if absent. Over tcp, only commands that show a "
            "status or a rule work without the token.",
        ),
    )


_COMMANDS = "commands of `loco-stream control`"
engine_ports = option_group("ports", ControlOptions, *control_options(_COMMANDS))
port_options = option_group(
    "ports",
    PortOptions,
    *control_options(_COMMANDS),
    click.option(
        "--http",
        metavar="[ADDRESS:]PORT",
        help="HTTP API for predictions, rows and labels, described by /openapi.json. ADDRESS "
        "overrides --bind. For InfluxDB line protocol, PORT?target=NAME&id=NAME names the columns "
        "of the label and the id.",
    ),
)

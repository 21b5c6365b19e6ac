"""The control socket of a running fleet: its commands, and a client with the same operations."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from loco_stream._cli._decision import plain_rule, rule_of_command
from loco_stream._cli._option_group import option_group
from loco_stream._cli._service_ports import ControlOptions, control_options
from loco_stream.errors import SourceError

if TYPE_CHECKING:
    from loco_stream._cli._network_options import NetworkOptions
    from loco_stream.engine._queries import RunnerQueries
    from loco_stream.fleet._runner import FleetRunner

# what a running fleet can be asked, and where in the answer the result is
_ENTRIES = {
    "status": "status",
    "worst": "keys",
    "changed": "keys",
    "rules": "keys",
    "decide": "done",
    "forecast": "forecast",
    "evict": "n",
    "reset": "done",
    "export": "content",
    "merge": "content",
}
_OF_RUN = ("status", "worst", "changed")  # asked of the run, the others of the fleet
_TIMEOUT = 60.0  # seconds; a merge of many keys takes its time


class FleetPorts(ControlOptions):
    """Where a running fleet answers."""

    __slots__ = ()

    @contextmanager
    def open(self, network: NetworkOptions) -> Iterator[list[Callable[[FleetRunner], None]]]:
        """Serve metrics and control commands while the block runs; yield the runner's watchers."""
        from loco_stream.engine._queries import RunnerQueries

        queries = RunnerQueries()
        watchers: list[Callable[[FleetRunner], None]] = [queries]
        with ExitStack() as ports:
            self.open_control(ports, lambda: _commands(queries))
            if self.metrics_port is not None:
                from loco_stream.engine._prometheus import serve_metrics
                from loco_stream.fleet._metrics import FleetMetrics

                metrics = FleetMetrics()
                end = serve_metrics(metrics, self.metrics_port, *network.listener())
                ports.callback(end)
                watchers.append(metrics)
            yield watchers


fleet_ports = option_group(
    "ports",
    FleetPorts,
    *control_options("`loco-stream fleet status`, `worst`, `reset`, ..."),
)


def _commands(queries: RunnerQueries) -> dict[str, Callable[..., Mapping[str, Any]]]:
    """Return what the operations can call, by name; each runs in the runner's thread."""
    from loco_stream.engine._report import jsonable
    from loco_stream.fleet._operations import FleetOperations

    def give(name: str, /, **arguments: Any) -> dict[str, Any]:
        if "rule" in arguments:
            arguments["rule"] = rule_of_command(arguments["rule"])

        def work(runner: FleetRunner) -> object:
            operations = runner if name in _OF_RUN else FleetOperations(runner.fleet)
            return getattr(operations, name)(**arguments)

        try:
            result: Any = queries.submit(work).result(_TIMEOUT)
        except TimeoutError:
            raise SourceError(f"the fleet did not answer within {_TIMEOUT:g} s") from None
        if _ENTRIES[name] == "content":
            result = base64.b64encode(result).decode()
        return {_ENTRIES[name]: jsonable(result)}

    return {name: partial(give, name) for name in _ENTRIES}


class RemoteOperations:
    """The operations of a running fleet, through its control socket.

    Its methods are those of `FleetOperations`, with all arguments by name.

    address: address of the socket
    token: path of the token file; None if the fleet needs none
    """

    def __init__(self, address: str, token: str | None) -> None:
        from loco_stream.connectors._control import read_token

        self._address = address
        self._token = "" if token is None else read_token(token)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._send, name)

    def _send(self, name: str, /, **arguments: Any) -> Any:
        from loco_stream.connectors._control import send_command

        if "rule" in arguments:
            arguments["rule"] = plain_rule(arguments["rule"])
        answer = send_command(self._address, name, _TIMEOUT + 5.0, self._token, **arguments)
        result = answer[_ENTRIES[name]]
        return base64.b64decode(result) if _ENTRIES[name] == "content" else result

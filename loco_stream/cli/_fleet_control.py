"""The control socket of a running fleet: its orders, and a client with the same operations."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from loco_stream.cli._decision import plain_rule, rule_of_order
from loco_stream.cli._option_group import option_group
from loco_stream.cli._service_ports import ControlOptions, control_options
from loco_stream.errors import SourceError

if TYPE_CHECKING:
    from loco_stream.cli._network_options import NetworkOptions
    from loco_stream.engine.queries import RunnerQueries
    from loco_stream.estimators.decision import Rule
    from loco_stream.fleet.runner import FleetRunner

_TIMEOUT = 60.0  # seconds; a merge of many keys takes its time


class FleetPorts(ControlOptions):
    """Where a running fleet answers."""

    __slots__ = ()

    @contextmanager
    def open(self, network: NetworkOptions) -> Iterator[list[Callable[[FleetRunner], None]]]:
        """Serve metrics and control commands while the block runs; yield the runner's watchers."""
        from loco_stream.engine.queries import RunnerQueries

        queries = RunnerQueries()
        watchers: list[Callable[[FleetRunner], None]] = [queries]
        with ExitStack() as ports:
            self.open_control(ports, lambda: _orders(queries))
            if self.metrics_port is not None:
                from loco_stream.engine.prometheus import serve_collector
                from loco_stream.fleet.metrics import FleetMetrics

                metrics = FleetMetrics()
                end = serve_collector(metrics, self.metrics_port, *network.listener())
                ports.callback(end)
                watchers.append(metrics)
            yield watchers


fleet_ports = option_group(
    "ports",
    FleetPorts,
    *control_options("`loco-stream fleet status`, `worst`, `reset`, ..."),
)


def _orders(queries: RunnerQueries) -> dict[str, Callable[..., Mapping[str, Any]]]:
    """Return what the operations can call, by name; each runs in the runner's thread."""
    from loco_stream.engine.report import jsonable
    from loco_stream.fleet.operations import FleetOperations

    def ask(query: Callable[[FleetRunner], object]) -> Any:
        try:
            return queries.submit(query).result(_TIMEOUT)
        except TimeoutError:
            raise SourceError(f"the fleet did not answer within {_TIMEOUT:g} s") from None

    def on_fleet(work: Callable[[FleetOperations], object]) -> Any:
        return ask(lambda runner: work(FleetOperations(runner.fleet)))

    def file(content: bytes) -> dict[str, str]:
        return {"content": base64.b64encode(content).decode()}

    return {
        "status": lambda: {"status": jsonable(ask(lambda runner: runner.status()))},
        "worst": lambda n: {"keys": jsonable(ask(lambda runner: runner.worst(n)))},
        "changed": lambda n: {"keys": jsonable(ask(lambda runner: runner.changed(n)))},
        "rules": lambda keys: {"keys": jsonable(on_fleet(lambda fleet: fleet.rules(keys)))},
        "decide": lambda keys, rule: {
            "done": on_fleet(lambda fleet: fleet.decide(keys, rule_of_order(rule)))
        },
        "forecast": lambda key, horizon: {
            "forecast": jsonable(on_fleet(lambda fleet: fleet.forecast(key, horizon)))
        },
        "evict": lambda keys: {"n": on_fleet(lambda fleet: fleet.evict(keys))},
        "reset": lambda key: {"done": on_fleet(lambda fleet: fleet.reset(key))},
        "export": lambda key: file(on_fleet(lambda fleet: fleet.export(key))),
        "merge": lambda keys: file(on_fleet(lambda fleet: fleet.merge(keys))),
    }


class RemoteOperations:
    """The operations of a running fleet, through its control socket.

    address: address of the socket
    token: path of the token file; None if the fleet needs none
    """

    def __init__(self, address: str, token: str | None) -> None:
        from loco_stream.connectors.control import read_token

        self._address = address
        self._token = "" if token is None else read_token(token)

    def status(self) -> dict[str, Any]:
        """Return the counts of the run."""
        return dict(self._order("status")["status"])

    def worst(self, n: int) -> list[dict[str, Any]]:
        """Return the keys with the largest error in this run."""
        return list(self._order("worst", n=n)["keys"])

    def changed(self, n: int) -> list[dict[str, Any]]:
        """Return the keys that drifted last in this run."""
        return list(self._order("changed", n=n)["keys"])

    def rules(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rule by which labels are chosen, of each key, or the one for all keys."""
        return list(self._order("rules", keys=list(keys))["keys"])

    def decide(self, keys: Sequence[str], rule: Rule) -> None:
        """Choose the labels of keys by another rule, or without any those of all keys."""
        self._order("decide", keys=list(keys), rule=plain_rule(rule))

    def forecast(self, key: str, horizon: int | None = None) -> dict[str, Any]:
        """Return the last values of a key, and the forecasts of the next ones."""
        return dict(self._order("forecast", key=key, horizon=horizon)["forecast"])

    def evict(self, keys: Sequence[str]) -> int:
        """Move models from memory to the store."""
        return int(self._order("evict", keys=list(keys))["n"])

    def reset(self, key: str) -> None:
        """Let the model of a key start anew."""
        self._order("reset", key=key)

    def export(self, key: str) -> bytes:
        """Return the model of a key as the content of a file."""
        return base64.b64decode(self._order("export", key=key)["content"])

    def merge(self, keys: Sequence[str]) -> bytes:
        """Return the merged model of keys as the content of a file."""
        return base64.b64decode(self._order("merge", keys=list(keys))["content"])

    def _order(self, name: str, **arguments: Any) -> dict[str, Any]:
        from loco_stream.connectors.control import order

        return order(self._address, name, _TIMEOUT + 5.0, self._token, **arguments)

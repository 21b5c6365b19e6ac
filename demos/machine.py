"""Faults of electric motors, learned live from another process, through an overhaul and back."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import click

from loco_stream.demos._demo import Demo, HitRecorder, check_claims, demo_options, run_for
from loco_stream.demos._rotor import RARE, Gateway
from loco_stream.stream import Prediction, Sink

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from loco_stream.connectors import ZMQSource
    from loco_stream.engine import Report

_RATE = 1000.0  # rows per second
_BLOCK = 100  # rows over which recovery is measured
_LONG = 1000  # rows over which the accuracy in a regime is measured
_IDLE_SECONDS = 60.0  # without a row, after which the sensor counts as dead
_ACTIONS = ("overhaul", "old regime")
_NOTE = (
    "Simulated data: vibration of 125 electric motors, 1000 windows per second, sent by another "
    "process over ZeroMQ; the model predicts the fault. 'overhaul' changes bearings and sensors, "
    "so that part of what was learned is wrong. 'old regime' restores the old machines: look at "
    "how little the accuracy falls then. Alarms also come without a button: the load swings once "
    "in 57 s, and around its lowest point (row 42,000, then every 57,000 rows) faults are weakest, "
    "so that errors rise."
)


def outcome(
    hits: Sequence[bool], drifts: Sequence[int], overhaul: int, back: int
) -> list[tuple[bool, str]]:
    """Return the claims of the demo: detection, recovery, and little forgetting.

    Parameters
    ----------
    hits
        For each row, whether it was predicted correctly before it was learned.
    drifts
        Rows of the drift alarms.
    overhaul, back
        Rows at which the machines changed, and at which the old ones returned.
    """
    before = _mean(hits[overhaul - _LONG : overhaul])
    again = _mean(hits[back : back + _LONG])
    regained = f"{again:.1%} in the first {_LONG:,} rows (claim: within 5 points)"
    return [
        _detection(drifts, overhaul),
        _recovery(hits, overhaul, back, before),
        (again >= before - 0.05, f"the old machines return at row {back:,}: {regained}"),
    ]


def _detection(drifts: Sequence[int], overhaul: int) -> tuple[bool, str]:
    alarm = next((at for at in drifts if at >= overhaul), None)
    when = "never" if alarm is None else f"after {alarm - overhaul:,} rows (claim: 500)"
    holds = alarm is not None and alarm - overhaul <= 500
    return holds, f"the overhaul at row {overhaul:,} is detected {when}"


def _recovery(hits: Sequence[bool], overhaul: int, back: int, before: float) -> tuple[bool, str]:
    first = _mean(hits[overhaul : overhaul + _BLOCK])
    ends = range(overhaul + _BLOCK, back)
    recovered = next((i for i in ends if _mean(hits[i - _BLOCK : i]) >= 0.95 * before), None)
    when = "never" if recovered is None else f"after {recovered - overhaul:,} rows"
    fall = f"accuracy falls from {before:.1%} to {first:.1%}"
    return recovered is not None, f"{fall} and is back at 95 % of it {when}"


def _mean(hits: Sequence[bool]) -> float:
    return sum(hits) / max(len(hits), 1)


class RareFaults(Sink):
    """A sink that counts the rare fault before and after its first correct prediction."""

    def __init__(self) -> None:
        self._row = 0
        self._n_before = 0
        self._n_since = 0
        self._n_found = 0

    def write(self, prediction: Prediction) -> None:
        """Count one scored row."""
        self._row += 1
        if prediction.y != RARE:
            return
        found = prediction.y_pred == RARE
        if found and not self._n_found:
            missed = f"after {self._n_before} missed ones"
            click.echo(f"row {self._row - 1:,}: the first {RARE} is found, {missed}")
        self._n_before += not found and not self._n_found
        self._n_found += found
        self._n_since += found or self._n_found > 0

    def close(self, report: Mapping[str, object]) -> None:
        """Print how many were found."""
        if not self._n_found:
            click.echo(f"the {RARE} occurred {self._n_before} times and was never found")
        else:
            click.echo(f"since then {self._n_found} of {self._n_since} were found")


@click.command("machine")
@demo_options(seconds=20.0, stays=True)
def command(demo: Demo) -> None:
    """Learn faults of motors, one of them rare, at 1000 rows per second from another process.

    The page has two buttons: "overhaul" changes bearings and sensors, so that part of what was
    learned is wrong; "old regime" restores the old machines. Look at the drift mark, the fall of
    the accuracy, how fast it recovers, and how little it falls when the old regime returns. The
    physics is in demos/_rotor.py.

    With --seconds or --headless, the overhaul happens after a third of the rows and the old regime
    returns after two thirds. Seconds times 1000 rows are sent, at least 6000.

    \b
    Examples
      loco-stream demo machine --open
      loco-stream demo machine --headless --seconds 20
    """
    from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor
    from loco_stream.connectors import ZMQSource

    end = max(6000, int(demo.seconds * _RATE)) // 60 * 60 if math.isfinite(demo.seconds) else None
    source = ZMQSource("tcp://127.0.0.1:*", "reliable", max=end, idle=_IDLE_SECONDS)
    orders, sensor = _sensor(source, demo.seed, end)
    actions = {name: partial(orders.send, name) for name in _ACTIONS}
    recorder = HitRecorder()
    with demo.page("Faults of electric motors", _NOTE, actions) as watchers:
        engine = StreamEngine(
            LOCOClassifier(seed=demo.seed),
            source,
            monitor=TaskMonitor(seed=demo.seed),
            sinks=[recorder, RareFaults()] if demo.headless else [RareFaults()],
            watchers=watchers,
        )
        sensor.start()
        try:
            report = run_for(engine)
        finally:
            with suppress(BrokenPipeError):  # the sensor has sent all rows and ended
                orders.send("stop")
            sensor.join(10)
            if sensor.is_alive():
                sensor.terminate()
    drifts = [drift["at"] for drift in report["drifts"]]
    _show(report, drifts)
    if end and demo.headless:
        hits = list(recorder.hits.values())
        check_claims(outcome(hits, drifts, end // 3, end // 3 * 2))


def _sensor(source: ZMQSource, seed: int, end: int | None) -> tuple[Connection, SpawnProcess]:
    """Return the sensor process, not started, and a connection that takes orders for it."""
    plan = {end // 3: "overhaul", end // 3 * 2: "old regime"} if end else {}
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    gateway = Gateway(source.address, seed, _RATE, plan, end)
    return ours, context.Process(target=gateway.run, args=(theirs,), daemon=True)


def _show(report: Report, drifts: Sequence[int]) -> None:
    rows = f"{report['n_samples']:,} rows, accuracy {report['accuracy']:.1%}"
    # the rate of the rows is that of the sensor
    us = f"{1e6 / report['samples_per_second']:,.0f} us per row"
    places = ", ".join(f"{at:,}" for at in drifts) or "none"
    click.echo(f"{rows}, {us}, drifts at: {places}")
    tasks = ", ".join(f"{task['task']} from row {task['start']:,}" for task in report["tasks"])
    click.echo(f"tasks: {tasks}")

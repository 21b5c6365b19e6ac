"""Faults of electric motors, learned live from another process.

An overhaul, and the old machines again.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Sequence

import click

from loco_stream.demos.rotor import RARE, gateway
from loco_stream.demos.stage import Hits, Stage, conclude, demo_options, play
from loco_stream.stream import Prediction, Sink

__all__ = ["Caught", "command", "outcome"]

_RATE = 1000.0  # rows a second
_BLOCK = 100  # rows over which recovery is measured
_SILENCE = 60.0  # seconds without a row after which the sensor is taken for dead
_NOTE = (
    "Simulated: vibration of 125 electric motors, 1000 windows a second, sent by another process over ZeroMQ; the "
    "model names the fault. 'overhaul' changes bearings and sensors, so that what was learned is partly wrong; 'old "
    "regime' brings the old machines back: look at how deep the curve falls then."
)
_LONG = 1000  # rows over which a regime's accuracy is measured


def outcome(
    hits: Sequence[bool], drifts: Sequence[int], overhaul: int, back: int
) -> list[tuple[bool, str]]:
    """Return the demo's claims: detection, recovery, and what was kept.

    Parameters
    ----------
    hits
        Of each row, whether it was predicted right before it was learned.
    drifts
        Rows of the alarms.
    overhaul, back
        Rows at which the machines were changed, and at which the old ones returned.
    """
    before = _mean(hits[overhaul - _LONG : overhaul])
    alarm = next((at for at in drifts if at >= overhaul), None)
    first = _mean(hits[overhaul : overhaul + _BLOCK])
    recovered = next(
        (i for i in range(overhaul + _BLOCK, back) if _mean(hits[i - _BLOCK : i]) >= 0.95 * before),
        None,
    )
    again = _mean(hits[back : back + _LONG])
    return [
        (
            alarm is not None and alarm - overhaul <= 500,
            f"the overhaul at row {overhaul} is noticed "
            + ("never" if alarm is None else f"after {alarm - overhaul} rows (claim: 500)"),
        ),
        (
            recovered is not None,
            f"accuracy falls from {before:.1%} to {first:.1%} and is back at 95 % of it "
            + ("never" if recovered is None else f"after {recovered - overhaul} rows"),
        ),
        (
            again >= before - 0.05,
            f"the old machines return at row {back}: {again:.1%} in the first {_LONG} rows (claim: within 5 points)",
        ),
    ]


def _mean(hits: Sequence[bool]) -> float:
    return sum(hits) / max(len(hits), 1)


class Caught(Sink):
    """A sink that looks out for the rare fault.

    How often it came before it was first named, and how often since.
    """

    def __init__(self) -> None:
        self.row = self.n_before = self.n_since = self.n_found = 0

    def write(self, prediction: Prediction) -> None:
        """Take one scored row."""
        self.row += 1
        if prediction.y != RARE:
            return
        found = prediction.y_pred == RARE
        if found and not self.n_found:
            click.echo(
                f"row {self.row - 1}: the first {RARE} is caught, after {self.n_before} that were not"
            )
        self.n_before += not found and not self.n_found
        self.n_found += found
        self.n_since += found or self.n_found > 0

    def close(self, report: object) -> None:
        """Say how many were caught."""
        if not self.n_found:
            click.echo(f"the {RARE} came {self.n_before} times and was never caught")
        else:
            click.echo(f"since then {self.n_found} of {self.n_since} were caught")


@click.command("machine")
@demo_options(seconds=20.0, stays=True)
def command(stage: Stage) -> None:
    """Learn the faults of motors, one of them rare, at 1000 rows a second from a process of its own, over ZeroMQ.

    The page has two buttons: "overhaul" changes bearings and sensors, so that what was learned is
    partly wrong; "old regime" brings the old machines back. Look at the triangle of the alarm, the
    dip, how fast it closes, and at the dip when the old regime returns. The physics is in
    demos/rotor.py.

    Given --seconds, or headless, the overhaul comes by itself after a third of the rows and the old
    regime after two thirds; seconds times 1000 rows are sent, at least 6000.
    """
    from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor
    from loco_stream.connectors import ZMQSource

    end = max(6000, int(stage.seconds * _RATE)) // 60 * 60 if math.isfinite(stage.seconds) else None
    plan = {end // 3: "overhaul", end // 3 * 2: "old regime"} if end else {}
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    actions = {name: lambda name=name: ours.send(name) for name in ("overhaul", "old regime")}
    source = ZMQSource("tcp://127.0.0.1:*", "reliable", max=end, idle=_SILENCE)
    hits = Hits()
    sensor = context.Process(
        target=gateway, args=(source.address, theirs, stage.seed, _RATE, plan, end), daemon=True
    )
    with stage.page("Faults of electric motors", _NOTE, actions) as watchers:
        engine = StreamEngine(
            LOCOClassifier(seed=stage.seed),
            source,
            monitor=TaskMonitor(seed=stage.seed),
            sinks=[hits, Caught()] if stage.headless else [Caught()],
            watchers=watchers,
        )
        sensor.start()
        try:
            report = play(engine)
        finally:
            ours.send("stop")
            sensor.join(10)
            if sensor.is_alive():
                sensor.terminate()
    drifts = [drift["at"] for drift in report["drifts"]]
    rate = report["samples_per_second"]
    accuracy = report["accuracy"]
    click.echo(
        f"{report['n_samples']:,} rows, accuracy {accuracy:.1%}, {rate:,.0f} rows a second, alarms at {drifts}"
    )
    click.echo(
        "tasks found: "
        + ", ".join(f"{task['task']} from row {task['start']}" for task in report["tasks"])
    )
    if end and stage.headless:
        conclude(outcome(hits.hits, drifts, end // 3, end // 3 * 2))

"""A pump without labels.

The detector finds the valve that is closed, and the sensor that sticks.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from loco_stream.demos._demo import Demo, check_claims, demo_options, paced, run_for
from loco_stream.stream import Sample

if TYPE_CHECKING:
    from loco_stream.engine import Report

_RATE = 100.0  # rows per second
_ACTIONS = ("close valve", "open valve", "stick sensor", "free sensor")
_NOTE = (
    "Simulated data: pressure, flow, motor current and temperature of a pump whose load swings, "
    "100 rows per second, no labels. Wait until the detector knows the pump (about 500 rows), then "
    "close the valve: the alarm names the column, and the strip shows how long the pump stays "
    "where it never was. 'stick sensor' freezes the temperature at a usual value."
)
_CLAIM_ROWS = 20  # within which an alarm is claimed


class Pump:
    """A centrifugal pump with a valve, a load that swings, and a temperature that follows.

    Parameters
    ----------
    seed
        Seed of the noise.
    plan
        Orders by row.
    """

    def __init__(self, seed: int, plan: dict[int, str]) -> None:
        self._draws = np.random.default_rng(seed)
        self._plan = plan
        self._lock = threading.Lock()
        self._valve = 1.0  # 1 is open
        self._opening = 1.0  # where the valve goes
        self._is_stuck = False
        self._temperature = 45.0
        self._shown = 45.0

    def order(self, name: str) -> None:
        """Take an order; from any thread."""
        with self._lock:
            if name.endswith("valve"):
                self._opening = 1.0 if name == "open valve" else 0.25
            else:
                self._is_stuck = name == "stick sensor"

    def rows(self, n: int | None) -> Iterator[Sample]:
        """Yield samples without labels."""
        row = 0
        while n is None or row < n:
            if row in self._plan:
                self.order(self._plan[row])
            yield Sample(self._step(row), None, row)
            row += 1

    def _step(self, row: int) -> dict[str, Any]:
        with self._lock:
            opening = self._opening
            stuck = self._is_stuck
        self._valve += 0.3 * (opening - self._valve)
        noise = self._draws.normal(size=4).tolist()
        speed = 1.0 + 0.05 * math.sin(2.0 * math.pi * row / 60.0)
        flow = 12.0 * speed * self._valve / (0.3 + 0.7 * self._valve)
        pressure = 4.0 * speed**2 - 0.012 * flow**2
        current = 6.0 + 0.5 * flow * speed
        self._temperature += 0.02 * (30.0 + 1.2 * current - self._temperature) + 0.05 * noise[3]
        if not stuck:
            self._shown = self._temperature + 0.05 * noise[2]
        return {
            "pressure": pressure + 0.02 * noise[0],
            "flow": flow + 0.08 * noise[1],
            "current": current + 0.05 * noise[2],
            "temperature": self._shown,
        }


def outcome(alarms: Sequence[dict[str, Any]], closed: int, stuck: int) -> list[tuple[bool, str]]:
    """Return the claims of the demo: both faults are found at once, and little else.

    Parameters
    ----------
    alarms
        Alarms of the report.
    closed, stuck
        Rows at which the valve closes and the sensor sticks.
    """
    claims = []
    for what, row in (("the closed valve", closed), ("the stuck sensor", stuck)):
        found = next((alarm for alarm in alarms if alarm["at"] >= row), None)
        late = math.inf if found is None else found["at"] - row
        column = "nowhere" if found is None else found["column"]
        text = f"{what} at row {row:,}: alarm in {column} after {late:,.0f} rows"
        claims.append((late <= _CLAIM_ROWS, f"{text} (claim: {_CLAIM_ROWS})"))
    early = sum(alarm["at"] < closed for alarm in alarms)
    bound = max(3, closed // 300)
    claims.append((early <= bound, f"{early} alarms in {closed} rows before (claim: {bound})"))
    return claims


@click.command("watch")
@demo_options(seconds=30.0, stays=True)
def command(demo: Demo) -> None:
    """Watch a simulated pump without labels, and find the fault that you cause.

    The page has buttons that close the valve and make a sensor stick. With --seconds or --headless,
    the valve closes after half of the rows, and the sensor sticks after three quarters. Look at the
    column that each alarm names, and at the strip that stays lit while the valve is closed.

    \b
    Examples
      loco-stream demo watch --open
      loco-stream demo watch --headless
    """
    from loco_stream import LOCODetector, StreamEngine

    end = max(3000, int(demo.seconds * _RATE)) if math.isfinite(demo.seconds) else None
    plan = {}
    if end:
        plan = {end // 2: "close valve", end * 5 // 8: "open valve", end * 3 // 4: "stick sensor"}
    pump = Pump(demo.seed, plan)
    rows = pump.rows(end)
    actions = {name: partial(pump.order, name) for name in _ACTIONS}
    with demo.page("A pump without labels", _NOTE, actions) as watchers:
        stream = rows if demo.headless else paced(rows, _RATE)
        report = run_for(StreamEngine(LOCODetector(seed=demo.seed), stream, watchers=watchers))
    _show(report)
    if end and demo.headless:
        check_claims(outcome(report["alarms"], end // 2, end * 3 // 4))


def _show(report: Report) -> None:
    click.echo(f"{report['n_samples']:,} rows, {report['n_alarms']} alarms")
    for alarm in report["alarms"]:
        click.echo(
            f"  row {alarm['at']:,}: {alarm['column']} is {alarm['value']:.4g}, "
            f"score {alarm['score']:.1f}"
        )

"""The code behind `loco-stream bench NAME`; each command is imported only when it is asked for."""

from __future__ import annotations

__all__ = ["BENCHES"]

# name -> module and the click command in it
BENCHES = {
    "streams": "loco_stream.bench.streams:command",
    "speed": "loco_stream.bench.speed:command",
    "simulator": "loco_stream.bench.simulator:command",
    "learning": "loco_stream.bench.learning:command",
    "depth": "loco_stream.bench.depth:command",
    "gradient": "loco_stream.bench.gradient:command",
    "mnist": "loco_stream.bench.mnist:command",
    "nettalk": "loco_stream.bench.nettalk:command",
    "continual": "loco_stream.bench.continual:command",
    "drift": "loco_stream.bench.drift:command",
    "monitor": "loco_stream.bench.monitor:command",
    "calibration": "loco_stream.bench.calibration:command",
    "regression": "loco_stream.bench.regression:command",
    "live": "loco_stream.bench.live:command",
    "dashboard": "loco_stream.bench.dashboard:command",
    "soak": "loco_stream.bench.soak:command",
    "report": "loco_stream.bench.report:command",
}

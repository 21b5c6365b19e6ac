"""The code behind `python -m benchmarks NAME`.

A command's module is imported when the command runs.
"""

from __future__ import annotations

__all__ = ["BENCHES"]

# name -> module and the click command in it
BENCHES = {
    "streams": "benchmarks.streams:command",
    "capymoa": "benchmarks.capymoa:command",
    "avalanche": "benchmarks.avalanche:command",
    "speed": "benchmarks.speed:command",
    "main_job": "benchmarks.main_job:command",
    "simulator": "benchmarks.simulator:command",
    "learning": "benchmarks.learning:command",
    "depth": "benchmarks.depth:command",
    "gradient": "benchmarks.gradient:command",
    "paper": "benchmarks.paper:command",
    "nettalk": "benchmarks.nettalk:command",
    "wide": "benchmarks.wide:command",
    "embeddings": "benchmarks.embeddings:command",
    "permutations": "benchmarks.permutations:command",
    "plasticity": "benchmarks.plasticity:command",
    "continual": "benchmarks.continual:command",
    "drift": "benchmarks.drift:command",
    "monitor": "benchmarks.monitor:command",
    "rare": "benchmarks.rare:command",
    "calibration": "benchmarks.calibration:command",
    "regression": "benchmarks.regression:command",
    "river_tracks": "benchmarks.river_tracks:command",
    "watch": "benchmarks.watch:command",
    "sizing": "benchmarks.sizing:command",
    "threads": "benchmarks.threads:command",
    "targets": "benchmarks.targets:command",
    "forecast": "benchmarks.forecast:command",
    "tables": "benchmarks.tables:command",
    "keel": "benchmarks.keel:command",
    "codes": "benchmarks.codes:command",
    "time": "benchmarks.temporal:command",
    "late": "benchmarks.late:command",
    "live": "benchmarks.live:command",
    "dashboard": "benchmarks.dashboard:command",
    "outlets": "benchmarks.outlets:command",
    "fleet": "benchmarks.fleet:command",
    "fleet-share": "benchmarks.fleet_share:command",
    "soak": "benchmarks.soak:command",
    "age": "benchmarks.age:command",
    "report": "benchmarks.report:command",
}

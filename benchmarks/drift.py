"""`python -m benchmarks drift`.

Delay, missed changes and false alarms of drift detectors.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, replace
from functools import partial
from statistics import fmean
from typing import Any

import click
import numpy as np

from benchmarks import changes, contenders, data
from benchmarks.grid import Grid
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run
from loco_stream.drift import DETECTORS, ConceptDetector, InputDetector, detector_named
from loco_stream.errors import SourceError

__all__ = ["command", "grids", "measure_confidence", "measure_errors", "measure_inputs"]

_CONFIDENCES = (1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
_RATES = (0.05, 0.2, 0.4)
_JUMPS = ((0.1, 0.5), (0.2, 0.5))
_JUMP_SEEDS = 20
_CODE = (
    "benchmarks/drift.py",
    "benchmarks/changes.py",
    "loco_stream/drift/_concept.py",
    "loco_stream/drift/detectors/hddm_a.py",
)
_TABLES = ("confidence", "errors", "inputs")


def measure_errors(stream: str, detector: str, gated: bool, seed: int) -> dict[str, Any]:
    """Run one detector of river over the errors of one stream.

    It is gated with the monitor's defaults, or plain with river's.
    """
    sequence, where = changes.errors(stream, seed)
    ConceptDetector(detector).update(0)  # imports river before the clock starts
    work = partial(_gated_alarms if gated else _plain_alarms, detector, sequence.tolist())
    seconds, alarms = cpu_seconds(work)
    return {
        **asdict(changes.judge(alarms, where, len(sequence))),
        "us": 1e6 * seconds / len(sequence),
    }


def _gated_alarms(name: str, errors: list[int], options: dict[str, Any] | None = None) -> list[int]:
    detector = ConceptDetector(name, options)
    return [i for i, error in enumerate(errors) if detector.update(error) == "drift"]


def _plain_alarms(name: str, errors: list[int]) -> list[int]:
    as_in_river = replace(detector_named(name), defaults={})
    detector = as_in_river.make({"seed": 0} if name == "KSWIN" else {})
    alarms = []
    for i, error in enumerate(errors):
        detector.update(error)
        if detector.drift_detected:
            alarms.append(i)
    return alarms


def measure_confidence(confidence: float, stationary: int) -> dict[str, Any]:
    """Measure the default detector's delays and false alarms at one confidence."""
    options = {"drift_confidence": confidence, "warning_confidence": min(0.5, 10.0 * confidence)}
    delays: dict[str, list[int]] = {}
    missed = 0
    for before, after in _JUMPS:
        found = delays[f"{before}->{after}"] = []
        for seed in range(_JUMP_SEEDS):
            alarms = _gated_alarms("HDDMA", changes.jump(before, after, seed).tolist(), options)
            verdict = changes.judge(alarms, [1000], 3000)
            found += verdict.delays
            missed += verdict.missed
    false = {}
    for rate in _RATES:
        errors = (np.random.default_rng(100).random(stationary) < rate).astype(int).tolist()
        false[str(rate)] = len(_gated_alarms("HDDMA", errors, options))
    return {"delays": delays, "missed": missed, "false": false}


def measure_inputs(stream: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Run the label-free detector over the inputs of one stream."""
    X, where = changes.inputs(stream, seed, directory)
    X = np.ascontiguousarray(X, dtype=np.float64)
    InputDetector(X.shape[1], seed=seed).update(X[0])  # compiles before the clock starts
    detector = InputDetector(X.shape[1], seed=seed)
    seconds, states = cpu_seconds(lambda: [detector.update(x) for x in X])
    alarms = [i for i, state in enumerate(states) if state == "drift"]
    return {**asdict(changes.judge(alarms, where, len(X))), "us": 1e6 * seconds / len(X)}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the tables of confidences, of each stream of errors, and of inputs."""
    grouped: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {
        table: {} for table in _TABLES
    }
    for key, values in results.items():
        table, stream, contender, _ = key.split("/")
        grouped[table].setdefault(stream, defaultdict(list))[contender].append(values)
    out = [_confidence_grid(rows) for rows in grouped["confidence"].values()]
    out += [
        _verdict_grid(f"errors, {stream}", "detector", rows)
        for stream, rows in grouped["errors"].items()
    ]
    inputs = {stream: runs for stream, rows in grouped["inputs"].items() for runs in rows.values()}
    return out + (
        [_verdict_grid("inputs, label-free detector", "stream", inputs)] if inputs else []
    )


def _confidence_grid(rows: dict[str, list[dict[str, Any]]]) -> Grid:
    jumps = [f"{before}->{after}" for before, after in _JUMPS]
    title = (
        f"HDDMA by confidence: mean delay over {_JUMP_SEEDS} seeds, false alarms in a stationary "
        "stream"
    )
    grid = Grid(title, ["confidence", *jumps, "missed", *(f"false at {rate}" for rate in _RATES)])
    for confidence, (run,) in rows.items():
        delays = [
            f"{fmean(run['delays'][jump]):.1f}" if run["delays"][jump] else "-" for jump in jumps
        ]
        grid.row(
            confidence,
            *delays,
            str(run["missed"]),
            *(str(run["false"][str(rate)]) for rate in _RATES),
        )
    return grid


def _verdict_grid(title: str, first: str, rows: dict[str, list[dict[str, Any]]]) -> Grid:
    """Return delays, missed changes, false alarms, and MTR = MTFA / MTD (1 - MDR).

    MTFA is the number of samples per false alarm (or of all samples without any), MTD the mean
    delay, MDR the share of missed changes (Bifet: Classifier Concept Drift Detection and the
    Illusion of Progress. ICAISC 2017).
    """
    grid = Grid(title, [first, "found", "mean delay", "false", "MTFA", "MTR", "us"])
    ratios: list[float | None] = []
    for name, runs in rows.items():
        delays = [delay for run in runs for delay in run["delays"]]
        missed, false, n = (sum(run[key] for run in runs) for key in ("missed", "false", "n"))
        every = n / max(1, false)
        ratio = (
            every / max(1.0, fmean(delays)) * len(delays) / (len(delays) + missed)
            if delays
            else None
        )
        ratios.append(ratio)
        cells = [
            f"{len(delays)}/{len(delays) + missed}",
            f"{fmean(delays):.0f}" if delays else "-",
            str(false),
        ]
        cells += [f"{'' if false else '>'}{every:.0f}", "-" if ratio is None else f"{ratio:.1f}"]
        grid.row(name, *cells, f"{fmean(run['us'] for run in runs):.1f}")
    grid.mark_best(5, ratios)
    return grid


def _runs(
    settings: Settings, tables: list[str], detectors: list[str], stationary: int
) -> list[Run]:
    """Return all runs, the default detector's first."""
    runs = []
    if "confidence" in tables:
        runs += [
            Run(
                f"confidence/HDDMA/{confidence:g}/0",
                measure_confidence,
                {"confidence": confidence, "stationary": stationary},
                f"{fingerprint(*_CODE)} {stationary}",
            )
            for confidence in _CONFIDENCES
        ]
    if "errors" in tables:
        runs += [
            Run(
                f"errors/{stream}/{name}{' gated' if gated else ''}/{seed}",
                measure_errors,
                {"stream": stream, "detector": name, "gated": gated, "seed": seed},
                fingerprint(*_CODE),
            )
            for stream in changes.ERRORS
            for name in detectors
            for gated in (True, False)
            for seed in range(settings.seeds)
        ]
    if "inputs" in tables:
        runs += _input_runs(settings)
    return runs


def _input_runs(settings: Settings) -> list[Run]:
    """Return the label-free detector's runs on the streams with data on this machine."""
    names = list(changes.INPUTS)
    try:
        data.require("MNIST", settings.directory)
    except SourceError as error:
        images = [name for name in names if "MNIST" in name]
        print_missing([f"{', '.join(images)}: {error}"])
        names = [name for name in names if name not in images]
    code = fingerprint(
        *_CODE,
        "benchmarks/scenarios.py",
        "loco_stream/drift/_inputs.py",
        "loco_stream/drift/_subspace.py",
    )
    return [
        Run(
            f"inputs/{name}/energy/{seed}",
            measure_inputs,
            {"stream": name, "seed": seed, "directory": settings.directory},
            code,
        )
        for name in names
        for seed in range(settings.seeds)
    ]


_DEFAULT = tuple(name for name in DETECTORS if name != "KSWIN")


@click.command("drift")
@click.option("--tables", metavar="A,B", help=f"What to measure: {', '.join(_TABLES)}.")
@click.option(
    "--only",
    metavar="A,B",
    help=f"Detectors: {', '.join(DETECTORS)} (all but KSWIN, which is slow).",
)
@click.option(
    "--stationary",
    type=click.IntRange(min=1000),
    default=1_000_000,
    show_default=True,
    help="Samples without a change per error rate, in which false alarms are counted.",
)
@common(seeds=10)
def command(settings: Settings, tables: str | None, only: str | None, stationary: int) -> None:
    """Measure delay, false alarms and missed changes of drift detectors.

    The simulated learner has an error rate of .1 on a known concept and .5 on a new one, which it
    relearns with a time constant of 1000 samples (100 if it was known before). Every detector of
    river runs twice: gated to "worse" and re-armed after recovery, as in the task monitor, and
    plain with river's settings. MTR combines all three measures; higher is better.

    \b
    Examples
      python -m benchmarks drift --tables confidence
      python -m benchmarks drift --tables errors --only HDDMA,ADWIN --seeds 3
      python -m benchmarks drift --only KSWIN --jobs 2
    """
    chosen = contenders.pick(tables, _TABLES, "--tables")
    detectors = contenders.pick(only, tuple(DETECTORS), "--only") if only else list(_DEFAULT)
    settings.run("drift", _runs(settings, chosen, detectors, stationary), grids)

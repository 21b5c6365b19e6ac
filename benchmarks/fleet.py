"""`python -m benchmarks fleet`.

Cost of one model per key, and an estimate for millions of devices.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import fleet_bill
from benchmarks.grid import Grid
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_Blocks: TypeAlias = list[tuple[NDArray[np.float32], list[str]]]

_FEATURES = 4
_KEYS = 100
_BLOCK = 64
_ROUNDS = 10
_PARTITIONS = 4
_RUN = 256  # rows of a key after another


def _rows(n: int) -> tuple[NDArray[np.float32], list[str]]:
    X = np.random.default_rng(0).normal(size=(n, _FEATURES)).astype(np.float32)
    return X, np.where(X[:, 0] + X[:, 1] > 0, "worn", "ok").tolist()


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall time and CPU time of this process in seconds."""
    wall = time.perf_counter()
    cpu = time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _template() -> Any:
    from loco_stream import LOCOClassifier

    return LOCOClassifier.preset("fast", seed=1)


def embedded(n_rounds: int = _ROUNDS) -> dict[str, float]:
    """Learn blocks of many keys by a plain loop over models and by a fleet, in turns.

    The fleet syncs its log every two seconds instead of every one, since it is idle for half of the
    time.
    """
    from loco_stream import Fleet

    X, y = _rows(_BLOCK * n_rounds)
    models = [_template() for _ in range(_KEYS)]
    bare = ours = wall = 0.0
    with _folder() as folder, Fleet(_template(), folder, durability="interval:2s") as fleet:
        for number in range(n_rounds):
            part = slice(number * _BLOCK, (number + 1) * _BLOCK)

            def alone(part: slice = part) -> None:
                for model in models:
                    model.learn_array(X[part], y[part])

            def together(part: slice = part) -> None:
                for key in range(_KEYS):
                    fleet.learn(key, X[part], y[part])

            took = _timed(alone)[1]
            spent = _timed(together)
            if number:  # the first round makes the models
                bare = bare + took
                wall = wall + spent[0]
                ours = ours + spent[1]
        files = sum(file.stat().st_size for file in folder.rglob("log-*.wal"))
        n_rows = _KEYS * (n_rounds - 1) * _BLOCK
        close = _timed(fleet.checkpoint)[0]
        state = len(fleet._backend.state(0))
    log = files / (_KEYS * n_rounds * _BLOCK)
    return {
        "bare_us": 1e6 * bare / n_rows,
        "fleet_us": 1e6 * ours / n_rows,
        "ratio": bare / ours,
        "log_bytes": log,
        "state_bytes": state,
        "store_ms": 1e3 * close / _KEYS,
    }


def _small() -> Any:
    """Return a model for many keys, whose state is a tenth of that of the fast preset."""
    from loco_stream import AdvancedOptions, LOCOClassifier

    advanced = AdvancedOptions(fixed_neurons=64)
    return LOCOClassifier(hidden_sizes=(16,), advanced=advanced, seed=1)


def new_keys(n: int) -> dict[str, float]:
    """Make models for new keys with two rows each, and open the fleet again."""
    return _at_rest(_template(), n, 2)


def grown_keys(n: int) -> dict[str, float]:
    """Make small models for keys with 40 rows each, and open the fleet again.

    A key with up to 32 rows is stored as these rows, one with more as its model.
    """
    return _at_rest(_small(), n, 40)


def _at_rest(template: Any, n: int, n_rows: int) -> dict[str, float]:
    from loco_stream import Fleet

    X, y = _rows(n_rows)
    with _folder() as folder:
        return {**_make_keys(Fleet(template, folder), folder, n, X, y), **_reopen(folder, n, X, y)}


def _reopen(folder: Path, n: int, X: NDArray[np.float32], y: list[str]) -> dict[str, float]:
    """Open a fleet at rest and count its keys; then let some of them learn, loaded and resident."""
    from loco_stream import Fleet

    some = np.random.default_rng(1).choice(n, min(n, 500), replace=False).tolist()

    with Fleet(None, folder) as fleet:
        count = _timed(fleet.counts)[1]

        def learn() -> None:
            for key in some:
                fleet.learn(key, X[:1], y[:1])

        loaded = _timed(learn)[1]
        resident = _timed(learn)[1]
    return {
        "open_and_count_s": count,
        "load_and_learn_row_ms": 1e3 * loaded / len(some),
        "learn_row_ms": 1e3 * resident / len(some),
    }


def _make_keys(
    opened: Any, folder: Path, n: int, X: NDArray[np.float32], y: list[str]
) -> dict[str, float]:
    with opened as fleet:
        fleet.learn("first", X, y)
        before = _resident()

        def make() -> None:
            for key in range(n):
                fleet.learn(key, X, y)

        wall, cpu = _timed(make)
        resident = _resident()
        fleet.checkpoint()
        count = _timed(fleet.counts)[1]
        disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "n_keys": n,
        "new_key_ms": 1e3 * cpu / n,
        "new_key_wall_ms": 1e3 * wall / n,
        "resident_gb": resident / 1e9,
        "grown_bytes_per_key": (resident - before) / n,
        "count_s": count,
        "disk_bytes": disk / n,
    }


def _resident() -> int:
    """Return the resident bytes of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def on_ray(workers: int, block_rows: int, n_rounds: int) -> dict[str, float]:
    """Learn blocks on Ray; return throughput and the CPU times of driver and workers.

    Rows are made in advance; `rows_us`, the time for that, is not part of the driver's.
    """
    from loco_stream import Fleet

    rows: _Blocks = []

    def make() -> None:
        X, y = _rows(_BLOCK * n_rounds)
        parts = [slice(at, at + _BLOCK) for at in range(0, len(X), _BLOCK)]
        rows.extend((X[part], y[part]) for part in parts)

    made = _timed(make)[1]
    with _folder() as folder, Fleet(_template(), folder, workers, block_rows=block_rows) as fleet:

        def learn(blocks: _Blocks) -> None:
            for block in blocks:
                for key in range(_KEYS):
                    fleet.learn(key, *block)
            fleet.flush()

        learn(rows[:1])
        pids = _worker_ids(fleet)
        before = [_spent([pid]) for pid in pids]
        wall, cpu = _timed(lambda: learn(rows[1:]))
        spent = [_spent([pid]) - was for pid, was in zip(pids, before, strict=True)]
        worked = sum(spent)
        moved = _timed(lambda: fleet.rescale(workers + 1))[0]
        back = _return_time(fleet, rows[0][0])
    n_rows = _KEYS * _BLOCK * (n_rounds - 1)
    return {
        "rows_per_second": n_rows / wall,
        "rows_per_busiest_cpu_second": n_rows / max(spent),
        "driver": cpu / worked,
        "driver_core": cpu / wall,
        "driver_us": 1e6 * cpu / n_rows,
        "workers_us": 1e6 * worked / n_rows,
        "rows_us": 1e6 * made / (_BLOCK * n_rounds),
        "back_s": back,
        "rescale_s": moved,
    }


def _write_partitions(folder: Path, n_keys: int, n_rows: int) -> str:
    """Write four files of rows, 256 rows of a key after another; return the URL of the source."""
    X, y = _rows(n_rows)
    keys = np.arange(n_rows) // _RUN % n_keys
    table = np.column_stack([keys, X, np.array(y) == "ok"]).astype(np.float32)
    for number in range(_PARTITIONS):
        np.save(folder / f"rows-{number}.npy", table)
    return f"npy:{folder}/rows-{{partition}}.npy?target=-1&task=classification&block={_RUN}"


def on_partitions(workers: int, n_rows: int) -> dict[str, float]:
    """Let workers read four files in blocks of 256 rows of a key.

    Returns
    -------
    dict
        Rows per second of wall time; CPU microseconds per row of all workers; rows per CPU second
        of the busiest worker, which is what the workers would reach with a core each; and the
        driver's share of a core.
    """
    from loco_stream.fleet._partitions import PartitionedFleet, PartitionOptions

    with _folder() as folder:
        options = PartitionOptions(_write_partitions(folder, 25, n_rows), "0", _PARTITIONS)
        with PartitionedFleet(_template(), folder / "fleet", options, workers) as fleet:
            pids = _partition_workers(fleet)
            before = [_spent([pid]) for pid in pids]
            wall, cpu = _timed(lambda: fleet.run(0.5))
            spent = [_spent([pid]) - was for pid, was in zip(pids, before, strict=True)]
    n_all = _PARTITIONS * n_rows
    return {
        "rows_per_second": n_all / wall,
        "workers_us": 1e6 * sum(spent) / n_all,
        "rows_per_busiest_cpu_second": n_all / max(spent),
        "driver_core": cpu / wall,
    }


def two_workers(n_rows: int) -> dict[str, float]:
    """Compare two workers with one, three times in turns; return medians.

    `speedup_wall` depends on what else the machine does (`load`). `speedup_cpu` compares rows per
    CPU second of the busiest worker: it is the speedup of workers that have a core each.
    """
    runs = [(on_partitions(1, n_rows), on_partitions(2, n_rows)) for _ in range(3)]

    def median(name: str, workers: int) -> float:
        return float(np.median([run[workers - 1][name] for run in runs]))

    def speedup(name: str) -> float:
        return float(np.median([two[name] / one[name] for one, two in runs]))

    return {
        "one_us": median("workers_us", 1),
        "two_us": median("workers_us", 2),
        "speedup_wall": speedup("rows_per_second"),
        "speedup_cpu": speedup("rows_per_busiest_cpu_second"),
        "driver_core": median("driver_core", 2),
        "load": os.getloadavg()[1],
    }


def rescaling(n_keys: int) -> dict[str, float]:
    """Change the number of workers from 1 to 2 to 1 while they learn rows of many keys.

    A partition stops from the moment its worker is asked for it until the next worker reads on.
    """
    from loco_stream.fleet._partitions import PartitionedFleet, PartitionOptions

    n_rows = 12 * _RUN * n_keys
    with _folder() as folder:
        options = PartitionOptions(_write_partitions(folder, n_keys, n_rows), "0", 4)
        with PartitionedFleet(_template(), folder / "fleet", options, 1) as fleet:
            fleet.assign()
            for workers in (2, 1):
                time.sleep(10.0)
                fleet.poll()
                fleet.rescale(workers)
            moved = fleet.longest_move
            report = fleet.report()
            fleet.stop()
    return {"longest_move_s": moved, "keys_per_partition": report["n_keys"] / _PARTITIONS}


def moving(n_keys: int) -> dict[str, float]:
    """Stop a partition that learns and open it again, five times, without Ray in between.

    Returns
    -------
    dict
        Median seconds of storing models while rows are learned, and medians and the maximum of the
        seconds in which the partition stands still.
    """
    from loco_stream.fleet._home import FleetHome
    from loco_stream.fleet._partitions import PartitionOptions, _PartitionWorker
    from loco_stream.fleet._storage import open_storage

    prepared = []
    stopped = []
    started = []
    with _folder() as folder:
        source = _write_partitions(folder, n_keys, 60 * _RUN * n_keys)
        home = FleetHome(open_storage(folder / "fleet"), _template(), 64, None, {})
        worker = _PartitionWorker(str(folder / "fleet"), PartitionOptions(source, "0", _PARTITIONS))
        worker.warm()
        for _ in range(6):
            started.append(_timed(lambda: worker.start(0))[0])
            time.sleep(5.0)
            prepared.append(_timed(lambda: worker.prepare(0))[0])
            stopped.append(_timed(lambda: worker.stop(0))[0])
        home.close()
    still = np.add(stopped[:-1], started[1:])  # from a stop to the next start
    return {
        "prepare_s": float(np.median(prepared)),
        "stop_s": float(np.median(stopped[:-1])),
        "start_s": float(np.median(started[1:])),
        "still_s_max": float(still.max()),
        "load": os.getloadavg()[0],
    }


def _partition_workers(fleet: Any) -> list[int]:
    """Return the process ids of the workers that read partitions."""
    call = [worker.__ray_call__.remote(lambda _: os.getpid()) for worker in fleet._workers]
    return list(fleet._ray.get(call))


def _worker_ids(fleet: Any) -> list[int]:
    """Return the process ids of the workers on Ray."""
    return [worker.query("pid") for worker in fleet._backend._workers]


def _spent(pids: list[int]) -> float:
    """Return the CPU seconds of other processes (Linux)."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


def _return_time(fleet: Any, X: NDArray[np.float32]) -> float:
    """Kill a worker and return the seconds until all of its keys are served again."""
    os.kill(_worker_ids(fleet)[0], signal.SIGKILL)
    return _timed(lambda: [fleet.predict(key, X[:1]) for key in range(_KEYS)])[0]


def measure(what: str, n: int) -> dict[str, Any]:
    """Make one of the measurements; `n` counts rounds, keys or simulated seconds."""
    if what == "embedded":
        return embedded(n)
    if what == "new keys":
        return new_keys(n)
    if what == "grown keys":
        return grown_keys(n)
    if what == "simulation":
        return fleet_bill.simulate(1000, float(n), seed=0)
    if what == "rescaling":
        return rescaling(n)
    if what == "moving":
        return moving(n)
    if what == "two workers":
        return two_workers(n)
    workers, block_rows = (int(number) for number in what.removeprefix("ray ").split("x"))
    return on_ray(workers, block_rows, n)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the tables of measurements and of the estimate."""
    figures = Grid("one model per key", ["measured", "figures"])
    for name, result in results.items():
        figures.row(
            name,
            ", ".join(
                f"{figure} {value:,.3g}"
                for figure, value in result.items()
                if isinstance(value, int | float)
            ),
        )
    tables = [figures]
    kept: dict[str, Any] = {
        name: results[name] for name in ("new keys", "grown keys") if name in results
    }
    if kept:
        tables.append(fleet_bill.million(kept))
    if "embedded" in results:
        tables.append(fleet_bill.bill(fleet_bill.Costs.of(results["embedded"])))
    return tables


@click.command("fleet")
@click.option("--quick", is_flag=True, help="A hundredth of the work, without Ray, as a check.")
@click.option("--on", "chosen", multiple=True, help="Measurement, may be repeated.  [default: all]")
@common(seeds=1)
def command(settings: Settings, quick: bool, chosen: tuple[str, ...]) -> None:
    """Measure the cost of rows, keys, logs and moved groups, and estimate that of a fleet.

    \b
    Examples
      python -m benchmarks fleet
      python -m benchmarks fleet --quick
      python -m benchmarks fleet --on "two workers" --on moving
    """
    whats = {
        "embedded": 4 if quick else 20,
        "new keys": 100 if quick else 100_000,
        "grown keys": 100 if quick else 5_000,
        "simulation": 60 if quick else 3600,
    }
    if not quick:
        whats |= {f"ray {workers}x{block}": 40 for block in (64, 256) for workers in (1, 2)}
        whats |= {"two workers": 30_000, "rescaling": 100, "moving": 100}
    if unknown := sorted({*chosen} - {*whats}):
        raise click.BadParameter(f"must be one of {', '.join(whats)}, got {unknown[0]!r}")
    runs = [
        Run(what, measure, {"what": what, "n": n}, str(n))
        for what, n in whats.items()
        if what in (chosen or whats)
    ]
    settings.anew().run("fleet", runs, grids)

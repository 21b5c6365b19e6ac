"""The monitor in a checkpoint: plain values and arrays, and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.monitor.alarm import Alarm
from loco_stream.monitor.arrays import Arrays, part, plain, prefixed
from loco_stream.monitor.holdout import Draws

if TYPE_CHECKING:
    from loco_stream.monitor.tasks import TaskMonitor

__all__ = ["export_monitor", "restore_monitor"]

_SCALARS = ("_credit", "_turn", "_n_drifts", "_value", "_suspects")


def export_monitor(monitor: TaskMonitor) -> tuple[dict[str, Any], Arrays]:
    """Return everything a monitor remembers."""
    fresh = monitor._fresh
    config: dict[str, Any] = {
        "settings": dict(monitor.settings),
        **{name: plain(getattr(monitor, name)) for name in _SCALARS},
        "n_without_task": monitor._n_without_task,
        "states": dict(monitor._states),
        "labels": sorted(map(plain, monitor._labels), key=repr),
        "draws": [monitor._draws.key, monitor._draws.counter],
        "rate": [monitor._rate.n, monitor._rate.quantile],
        "last": [monitor._last[0], plain(monitor._last[1])],
        "fresh": None if fresh is None else fresh.index,
        "drifts": [asdict(alarm) for alarm in monitor._drifts],
        "waiting": [[plain(y), hit, index, row is not None] for row, y, hit, index in monitor._waiting],
        "heard": [asdict(alarm) for alarm in monitor._heard],
        "memories": monitor._memories.export(),
        "columns": list(monitor._codec.names),
        "inputs": monitor._view.width,
    }
    arrays = prefixed("concept", monitor._concept.export_state())
    arrays |= {f"waiting/{i}": row.copy() for i, (row, *_) in enumerate(monitor._waiting) if row is not None}
    arrays |= monitor._view.export()
    timeline, timeline_arrays = monitor._timeline.export()
    return {**config, "timeline": timeline}, {**arrays, **timeline_arrays}


def restore_monitor(monitor: TaskMonitor, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Make `monitor` continue from what `export_monitor` returned; it stays as it is if that is damaged."""
    try:
        fresh = type(monitor)(**config["settings"])
        for name in _SCALARS:
            setattr(fresh, name, config[name])
        fresh._n_without_task = config.get("n_without_task", 0)
        fresh._states = dict(config["states"])
        fresh._labels = set(config["labels"])
        fresh._draws = Draws(*config["draws"])
        fresh._rate.n, fresh._rate.quantile = config["rate"]
        fresh._last = (config["last"][0], config["last"][1])
        fresh._drifts = deque((Alarm(**alarm) for alarm in config["drifts"]), maxlen=fresh._drifts.maxlen)
        fresh._waiting = [
            (arrays[f"waiting/{i}"].copy() if has_row else None, y, hit, index)
            for i, (y, hit, index, has_row) in enumerate(config["waiting"])
        ]
        fresh._heard = [Alarm(**alarm) for alarm in config["heard"]]
        fresh._memories.restore(config["memories"])
        fresh._codec.restore(config["columns"])
        fresh._concept.restore_state(part("concept", arrays))
        fresh._view.restore(config["inputs"], arrays)
        fresh._timeline.restore(config["timeline"], arrays)
        fresh._timeline.draws = fresh._draws
        held = [held for held in fresh._timeline.running.hold.held if held.index == config["fresh"]]
        fresh._fresh = held[0] if held else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, ConfigError):
            raise CheckpointError(f"The saved monitor has settings this release refuses: {error}") from error
        raise CheckpointError(f"The saved state of the monitor is not complete: {error!r}.") from error
    monitor.__dict__.update(fresh.__dict__)

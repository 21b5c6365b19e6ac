"""The monitor in a checkpoint: plain values and arrays, and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.monitor.alarm import Alarm
from loco_stream.monitor.holdout import Draws, Held, HoldOut
from loco_stream.monitor.recall import Recall
from loco_stream.monitor.segment import Segment
from loco_stream.monitor.signature import Signature

if TYPE_CHECKING:
    from loco_stream.monitor.inputs import InputView
    from loco_stream.monitor.memories import Memories
    from loco_stream.monitor.tasks import TaskMonitor
    from loco_stream.monitor.timeline import Timeline

__all__ = ["export_monitor", "restore_monitor"]

Arrays = dict[str, NDArray[Any]]
_SCALARS = ("_credit", "_turn", "_n_drifts", "_value", "_suspects")
_HELD = ("index", "hit", "at", "was", "was_at")
_SEGMENT = (
    *("start", "task", "began", "classes", "end", "n", "hits", "early", "running", "end_accuracy", "goal"),
    *("relearned", "returned", "update_energy"),
)


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
        "memories": _export_memories(monitor._memories),
        "columns": list(monitor._codec.names),
        "inputs": len(monitor._view._row),
    }
    arrays = prefixed("concept", monitor._concept.export_state())
    arrays |= {f"waiting/{i}": row.copy() for i, (row, *_) in enumerate(monitor._waiting) if row is not None}
    arrays |= _export_view(monitor._view)
    timeline, timeline_arrays = _export_timeline(monitor._timeline)
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
        _restore_memories(fresh._memories, config["memories"])
        fresh._codec.restore(config["columns"])
        fresh._concept.restore_state(part("concept", arrays))
        _restore_view(fresh._view, config["inputs"], arrays)
        _restore_timeline(fresh._timeline, config["timeline"], arrays)
        fresh._timeline.draws = fresh._draws
        held = [held for held in fresh._timeline.running.hold.held if held.index == config["fresh"]]
        fresh._fresh = held[0] if held else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, ConfigError):
            raise CheckpointError(f"The saved monitor has settings this release refuses: {error}") from error
        raise CheckpointError(f"The saved state of the monitor is not complete: {error!r}.") from error
    monitor.__dict__.update(fresh.__dict__)


def _export_memories(memories: Memories) -> list[Any]:
    return [memories.kept, memories.speaking, memories.since, [list(pair) for pair in memories.tasks.items()]]


def _restore_memories(memories: Memories, config: list[Any]) -> None:
    memories.kept, memories.speaking, memories.since, tasks = config
    memories.tasks = {number: task for number, task in tasks}  # noqa: C416


def _export_view(view: InputView) -> Arrays:
    arrays = {"view/side": view.side_mean.copy(), **prefixed("view/scale", view.scale.export_state())}
    if view.detector is not None:
        arrays |= prefixed("view/detector", view.detector.export_state())
        arrays |= prefixed("view/protected", view.protected.export_state())
    return arrays


def _restore_view(view: InputView, n_features: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    view.side_mean = arrays["view/side"].copy()
    if not n_features:
        return
    view.prepare(n_features)
    view.scale.restore_state(part("view/scale", arrays))
    if view.detector is not None:
        view.detector.restore_state(part("view/detector", arrays))
        view.protected.restore_state(part("view/protected", arrays))


def _export_timeline(timeline: Timeline) -> tuple[dict[str, Any], Arrays]:
    arrays: Arrays = {"hits": np.array(timeline.hits, dtype=np.int64).reshape(-1, 2)}
    segments = []
    for i, segment in enumerate(timeline.segments):
        held, held_arrays = _export_hold(segment.hold)
        entry = {name: plain(getattr(segment, name)) for name in _SEGMENT}
        if segment.signature is not None:
            entry["labels"] = _export_signature(segment.signature, held_arrays)
        segments.append({**entry, "hold": held})
        arrays |= prefixed(f"segment/{i}", held_arrays)
    pending = []
    for i, (start, block) in enumerate(timeline.pending):
        own: Arrays = {}
        pending.append([start, _export_signature(block, own)])
        arrays |= prefixed(f"pending/{i}", own)
    recall = timeline.recall
    if recall is not None:
        arrays["recall"] = recall.evidence.copy()
    config = {
        "segments": segments,
        "names": [[task, name] for task, name in timeline.names.items()],
        "counters": [timeline.n_tasks, timeline.n_merged],
        "row_due": None if timeline.row_due is None else list(timeline.row_due),
        "pending": pending,
        "recall": None if recall is None else [recall.n, recall.left],
        "rows": [list(row) for row in timeline.matrix.rows],
        "counts": [list(row) for row in timeline.matrix.counts],
    }
    return config, arrays


def _restore_timeline(timeline: Timeline, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    timeline.hits.extend((index, hit) for index, hit in arrays["hits"].tolist())
    timeline.segments = []
    for i, entry in enumerate(config["segments"]):
        own = part(f"segment/{i}", arrays)
        hold = _restore_hold(HoldOut(timeline.holdout), entry["hold"], own)
        segment = Segment(hold=hold, **{name: entry[name] for name in _SEGMENT})
        segment.early, segment.update_energy = list(segment.early), list(segment.update_energy)
        if "labels" in entry:
            segment.signature = _restore_signature(entry["labels"], own)
        timeline.segments.append(segment)
    timeline.pending = [
        (start, _restore_signature(labels, part(f"pending/{i}", arrays)))
        for i, (start, labels) in enumerate(config["pending"])
    ]
    timeline.names = {task: name for task, name in config["names"]}  # noqa: C416
    timeline.n_tasks, timeline.n_merged = config["counters"]
    if config["row_due"] is not None:
        start, end, now = config["row_due"]
        timeline.row_due = (start, end, now)
    if config["recall"] is not None:
        timeline.recall = Recall(0, config["recall"][1])
        timeline.recall.n, timeline.recall.evidence = config["recall"][0], arrays["recall"].copy()
    timeline.matrix.rows = [list(row) for row in config["rows"]]
    timeline.matrix.counts = [list(row) for row in config["counts"]]


def _export_signature(signature: Signature, arrays: Arrays) -> list[Any]:
    """Add the numbers of `signature` to `arrays` and return its labels."""
    arrays |= {name: getattr(signature, name).copy() for name in ("counts", "means", "own")}
    return [plain(label) for label in signature.labels]


def _restore_signature(labels: list[Any], arrays: Mapping[str, NDArray[Any]]) -> Signature:
    signature = Signature(arrays["means"].shape[1])
    signature.labels = {label: slot for slot, label in enumerate(labels)}
    signature.counts, signature.means, signature.own = (arrays[name].copy() for name in ("counts", "means", "own"))
    return signature


def _export_hold(hold: HoldOut) -> tuple[dict[str, Any], Arrays]:
    width = max((len(held.row) for held in hold.held), default=0)
    rows = np.full((len(hold.held), width), np.nan)
    for row, held in zip(rows, hold.held, strict=True):
        row[: len(held.row)] = held.row
    numbers = [[len(held.row), *(getattr(held, name) for name in _HELD)] for held in hold.held]
    config = {
        "counters": [hold.offered, hold.cursor],
        "y": [plain(held.y) for held in hold.held],
        "extras": [[[name, plain(value)] for name, value in held.extras.items()] for held in hold.held],
    }
    arrays: Arrays = {
        "rows": rows,
        "numbers": np.array(numbers, dtype=np.int64).reshape(-1, 1 + len(_HELD)),
        "tolerance": np.array([held.tolerance for held in hold.held]),
    }
    return config, arrays


def _restore_hold(hold: HoldOut, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> HoldOut:
    hold.offered, hold.cursor = config["counters"]
    hold.held = []
    rows = zip(arrays["rows"], arrays["numbers"].tolist(), arrays["tolerance"].tolist(), strict=True)
    for (row, (width, *numbers), tolerance), y, extras in zip(rows, config["y"], config["extras"], strict=True):
        index, hit, at, was, was_at = numbers
        named = {name: value for name, value in extras}  # noqa: C416
        hold.held.append(Held(index, row[:width].copy(), named, y, tolerance, bool(hit), at, bool(was), was_at))
    return hold


def prefixed(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return `arrays` under names in one folder."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays of one folder under their own names."""
    return {name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")}


def plain(value: Any) -> Any:
    """Return numpy scalars as Python's own."""
    return value.item() if isinstance(value, np.generic) else value

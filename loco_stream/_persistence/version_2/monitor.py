"""The task monitor of version 2: settings, plain values and arrays under other names."""

from __future__ import annotations

from loco_stream._persistence.content import Arrays, Config, Plain, State

_SETTLED = 200  # errors from which on the steps of the threshold of errors are constant
_SETTINGS = {"detector": "drift_detector", "task": "problem"}


def monitor_settings(old: State) -> Config:
    """Return the parameters of a `TaskMonitor`."""
    return {_SETTINGS.get(name, name): value for name, value in old.items()}


def monitor_config(old: State) -> Config:
    """Return the plain values of a monitor."""
    return {
        "settings": monitor_settings(old["settings"]),
        "alarms": {
            "n_drifts": old["_n_drifts"],
            "suspects": old["_suspects"],
            "states": old["states"],
            "drifts": old["drifts"],
            "unreported": old["heard"],
        },
        "column": {"value": old["_value"], "n_missing": old["n_without_task"]},
        "labels": old["labels"],
        "recall": old["memories"],
        "rescoring": {"budget": old["_credit"], "segment": old["_turn"]},
        "features": old["columns"],
        "n_inputs": old["inputs"],
        "timeline": _timeline(old["timeline"]),
        "draws": old["draws"],
        "planned": None,
        "threshold": _threshold(*old["rate"]),
        "last": old["last"],
        "unscored": old["fresh"],
        "unexamined": old["waiting"],
    }


def _threshold(n: int, quantile: float) -> list[Plain]:
    """Return the numbers of the threshold of errors, which counted all errors before."""
    return [min(n, _SETTLED), quantile]


def _timeline(old: State) -> Config:
    n_tasks, n_merged = old["counters"]
    return {
        "segments": [{**segment, "hold": _hold(segment["hold"])} for segment in old["segments"]],
        "names": old["names"],
        "n_tasks": n_tasks,
        "n_merged": n_merged,
        "due_row": old["row_due"],
        "pending": old["pending"],
        "recurrence": old["recall"],
        "matrix": old["rows"],
        "matrix_counts": old["counts"],
    }


def _hold(old: State) -> Config:
    n_candidates, cursor = old["counters"]
    return {
        "n_candidates": n_candidates,
        "cursor": cursor,
        "y": old["y"],
        "extras": old["extras"],
    }


def monitor_arrays(arrays: Arrays) -> Arrays:
    """Return the arrays of a monitor, without a prefix."""
    return {_array_name(name): array for name, array in arrays.items()}


def _array_name(name: str) -> str:
    whole = {
        "recall": "recurrence",
        "view/side": "view/label_mean",
        "view/detector/score": "view/detector/level",
    }
    if name.startswith("waiting/"):
        return name.replace("waiting/", "unexamined/")
    if name.endswith("/own"):
        return name.removesuffix("own") + "totals"
    return whole.get(name, name)

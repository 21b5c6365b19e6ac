"""Prequential scores of version 2: one flat dict of counters became one dict per tally."""

from __future__ import annotations

from loco_stream._persistence.content import Config, State

_HITS = {
    "n": "n",
    "n_hits": "n_correct",
    "n_repeats": "n_no_change_correct",
    "n_majority": "n_majority_correct",
    "n_recent": "n_recent_correct",
    "agreement": "agreement",
    "faded": "fading_sum",
    "weight": "fading_weight",
    "labels": "labels",
    "predicted": "predicted",
    "previous": "previous",
    "majority": "majority",
    "recent": "recent",
}
_ERRORS = {
    "n": "n",
    "absolute": "sum_absolute",
    "squared": "sum_squared",
    "mean": "mean",
    "spread": "spread",
    "n_repeats": "n_no_change",
    "repeats": "sum_no_change",
    "faded": "fading_sum",
    "weight": "fading_weight",
    "previous": "previous",
    "recent": "recent",
}


def prequential(old: State) -> Config:
    """Return the saved state of `Prequential`."""
    tallies = _classification(old) if old["task"] == "classification" else _regression(old)
    return {
        "problem": old["task"],
        "window": old["window"],
        "fading": old["fading"],
        "n_scored": old["n"],
        "tallies": tallies,
    }


def _classification(old: State) -> Config:
    n, loss = old["judged"]
    return {
        "hits": {new: old[name] for name, new in _HITS.items()},
        "log_loss": {"n": n, "loss": loss},
        "confusion": old["confusion"],
    }


def _regression(old: State) -> Config:
    n, n_inside = old["bounded"]
    return {
        "errors": {new: old[name] for name, new in _ERRORS.items()},
        "intervals": {"n": n, "n_inside": n_inside},
    }

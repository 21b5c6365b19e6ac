"""The types of the plain values in a checkpoint, checked before anything is restored from them.

A checksum tells a torn file, not one whose content is wrong: a text where a count belongs would be
found only rows later, as an error that nobody can place. A field of an older release may be
missing; what reads it knows that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Required, TypedDict

import msgspec

from loco_stream.errors import CheckpointError
from loco_stream.metrics.scores import SCORES

__all__ = ["check_types"]

_Counts = list[tuple[object, int]]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Hit = bool | int


_Tallies = TypedDict(  # type: ignore[misc]
    "_Tallies", {score.tally.name: score.tally.saved for score in SCORES}, total=False
)


class _Prequential(TypedDict):
    problem: str
    window: int
    fading: float
    n_scored: int
    tallies: _Tallies


class _Score(TypedDict, total=False):
    prequential: _Prequential
    stride: int
    points: list[tuple[int, float, float]]


class _Settings(TypedDict, total=False):
    tasks: str
    task: str
    holdout: int
    share: float
    rescore_every: int
    max_segments: int
    min_segment: int
    seed: int
    inputs: bool
    detector_options: dict[str, object]


class _Hold(TypedDict, total=False):
    counters: tuple[int, int]
    y: list[object]
    extras: list[list[tuple[object, object]]]


class _Segment(TypedDict, total=False):
    start: int
    task: int
    began: str
    classes: int
    end: int | None
    n: int
    hits: int
    early: list[_Hit]
    running: float
    end_accuracy: float
    goal: float
    relearned: int | None
    returned: bool
    update_energy: tuple[float, float]
    labels: list[object]
    hold: _Hold


class _Timeline(TypedDict, total=False):
    segments: list[_Segment]
    names: list[tuple[int, str]]
    counters: tuple[int, int]
    row_due: tuple[int, int, bool] | None
    pending: list[tuple[int, list[object]]]
    recall: tuple[int, int] | None
    rows: list[list[float]]
    counts: list[list[int]]


class _Alarm(TypedDict, total=False):
    at: int
    kind: str
    detector: str
    state: str
    since: int
    task: str


class _Monitor(TypedDict, total=False):
    settings: _Settings
    _credit: float
    _turn: int
    _n_drifts: int
    _suspects: bool
    states: dict[str, str]
    drifts: list[_Alarm]
    heard: list[_Alarm]
    n_without_task: int
    draws: tuple[int, int]
    rate: tuple[_Count, float]
    last: tuple[int, object]
    fresh: int | None
    waiting: list[tuple[object, _Hit | None, int, bool]]
    memories: tuple[int, int, int, list[tuple[int, int]]]
    columns: list[object]
    inputs: int
    timeline: _Timeline


class _Pending(TypedDict, total=False):
    expired: int
    orphaned: int


class _Ledger(TypedDict, total=False):
    rows: _Counts
    masked: _Counts
    unknown: _Counts
    missing: _Counts
    skipped: dict[str, int]
    unread: int
    last: dict[str, str]


class _Trainer(TypedDict, total=False):
    arrived: int
    counters: dict[str, _Count]
    now: float
    n_drifts: int
    pending: _Pending
    ledger: _Ledger


class _Checkpoint(TypedDict, total=False):
    score: _Score
    monitor: _Monitor
    trainer: _Trainer
    undelivered: dict[str, object]
    position: Required[dict[str, object]]
    commit: Required[int]
    skip: Required[int]


def check_types(config: Mapping[str, object]) -> None:
    """Raise CheckpointError, which names the field, if a value in a checkpoint is of a type that none has there."""
    try:
        msgspec.convert(config, _Checkpoint)
    except (msgspec.ValidationError, OverflowError) as error:
        raise CheckpointError(f"the checkpoint is not complete: {error}") from error

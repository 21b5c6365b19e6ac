"""Names and types of the plain values in a checkpoint, checked before anything is restored.

A checksum detects a damaged file, not a wrong content: a text in place of a count would otherwise
cause an error many rows later. A value described as `object` is checked by the part that restores
it.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

import msgspec

from loco_stream._decoding import fault
from loco_stream._persistence.content import State
from loco_stream.errors import CheckpointError
from loco_stream.metrics.scores import SCORES

_Counts = list[tuple[object, int]]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Hit = bool | int

# Only the tallies of the problem at hand are saved.
_Tallies = TypedDict(  # type: ignore[misc]
    "_Tallies", {score.tally.name: score.tally.saved for score in SCORES}, total=False
)


class _Prequential(TypedDict):
    problem: str
    window: int
    fading: float
    n_scored: int
    tallies: _Tallies


class _Ranking(TypedDict):
    window: int
    n: _Count
    labels: list[object]
    own: list[list[int]]
    others: list[list[int]]
    rows: list[tuple[int, list[int]]]
    faded: list[tuple[int, float]]


class _Measures(TypedDict):
    prequential: _Prequential
    ranking: _Ranking
    stride: int
    points: list[tuple[int, float, float]]


class _MonitorSettings(TypedDict):
    drift_detector: str
    detector_options: dict[str, object]
    inputs: bool
    tasks: str
    holdout: int
    share: float
    rescore_every: int
    max_segments: int
    min_segment: int
    problem: str
    seed: int


class _AlarmFeatures(TypedDict, total=False):
    features: list[str]  # not in files of release 0.2


class _Alarm(_AlarmFeatures):
    at: int
    kind: str
    detector: str
    state: str
    since: int
    task: str


class _Alarms(TypedDict):
    n_drifts: int
    suspects: bool
    states: dict[str, str]
    drifts: list[_Alarm]
    unreported: list[_Alarm]


class _Column(TypedDict):
    value: object
    n_missing: int


class _Rescoring(TypedDict):
    budget: float
    segment: int


class _HoldOut(TypedDict):
    n_candidates: int
    cursor: int
    y: list[object]
    extras: list[list[tuple[object, object]]]


class _SegmentLabels(TypedDict, total=False):
    labels: list[object]  # of the signature, once there is one


class _Segment(_SegmentLabels):
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
    hold: _HoldOut


class _Timeline(TypedDict):
    segments: list[_Segment]
    names: list[tuple[int, str]]
    n_tasks: int
    n_merged: int
    due_row: tuple[int, int, bool] | None
    pending: list[tuple[int, list[object]]]
    recurrence: tuple[int, int] | None
    matrix: list[list[float]]
    matrix_counts: list[list[int]]


class _Monitor(TypedDict):
    settings: _MonitorSettings
    alarms: _Alarms
    column: _Column
    labels: list[object]
    recall: tuple[int, int, int, list[tuple[int, int]]]
    rescoring: _Rescoring
    features: list[object]
    n_inputs: int
    timeline: _Timeline
    draws: tuple[int, int]
    planned: tuple[int, list[tuple[int, int]]] | None
    threshold: tuple[_Count, float]
    last: tuple[int, object]
    unscored: int | None
    unexamined: list[tuple[object, _Hit | None, int, bool]]


class _RowIds(TypedDict):
    counts: dict[str, _Count]
    last: dict[str, str]
    early: list[tuple[str, object, float]]
    used: list[tuple[str, str]]


class _PendingState(TypedDict):
    expired: int
    orphaned: int
    features: list[object]
    rows: list[object]
    ids: _RowIds


class _Summary(TypedDict):
    targets: list[tuple[object, float, float, float]]


class _SeveralTargets(TypedDict, total=False):
    summary: _Summary  # in a run with several targets


class _Trainer(_SeveralTargets):
    n_samples: _Count
    n_unlabelled: _Count
    n_held_out: _Count
    n_unusable: _Count
    n_drifts: _Count
    last_drift: int | None
    pending: _PendingState


class _Delayed(TypedDict):
    n_arrived: int
    rows: list[object]
    features: list[object]


class _LastErrors(TypedDict):
    skipped: str
    malformed: str


class _Quality(TypedDict):
    rows: _Counts
    n_rows: int
    steady: list[object]  # features that every row had, from the first to the last that had them
    masked: _Counts
    masked_runs: list[tuple[object, int, int]]  # values in the last run, and rows up to its end
    skipped: dict[str, int]
    unknown: _Counts
    missing: _Counts
    n_malformed: int
    last_errors: _LastErrors


class _TextColumns(TypedDict):
    counts: list[tuple[object, int, list[str]]]
    left_out: list[tuple[object, str]]
    numbers: _Counts
    odd: list[tuple[object, int, int, str, list[str]]]


class _EventsState(TypedDict):
    n_rows: _Count
    text_columns: _TextColumns
    n_rejected: _Count
    n_set_aside: _Count
    n_requested: _Count
    n_fill_values: _Count
    now: float
    delayed: _Delayed
    quality: _Quality


class _Watcher(TypedDict):
    n_rows: _Count
    n_alarms: _Count
    last_alarm: int | None
    alarms: list[dict[str, object]]
    unusual: list[tuple[float, int, dict[str, object]]]
    blamed: list[tuple[object, int]]
    stride: int
    points: list[tuple[int, float, float]]
    peak: tuple[float, float]


class _Forecasts(TypedDict):
    horizon: _Count
    n_rows: _Count
    history: list[float]
    last: float
    n: list[_Count]
    errors: list[float]
    no_change: list[float]
    n_bounded: list[_Count]
    n_inside: list[_Count]
    made: bytes


class _Optional(TypedDict, total=False):
    labels_from: str  # of the source; missing in files of 0.2
    watcher: _Watcher  # in a run with an anomaly detector
    anomaly: object  # the detector beside a model
    forecasts: _Forecasts  # in a run of a forecaster


class Checkpoint(_Optional):
    """Plain values of a checkpoint."""

    model: object
    measures: _Measures
    monitor: _Monitor
    trainer: _Trainer
    events: _EventsState
    version: str
    source: str
    schema: object
    fingerprint: object
    settings: dict[str, object]
    task: str
    n_samples: int
    commit: int
    position: dict[str, object]
    skip: int
    undelivered: dict[str, object]


def check_types(config: State) -> None:
    """Raise CheckpointError, which names the field, if a value is missing or of another type."""
    try:
        msgspec.convert(config, Checkpoint)
    except (msgspec.ValidationError, OverflowError) as error:
        reason = fault(error, config, "it")
        raise CheckpointError(f"the checkpoint cannot be restored: {reason}") from error

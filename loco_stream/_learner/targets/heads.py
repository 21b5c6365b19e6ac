"""Heads: targets whose values come later by a fixed number of rows.

Head j predicts, from row i, the value that comes with row i + j. A gain of recursive least squares
depends on rows alone: each row's gains are kept until the value of the last head has come, and
every head learns a row with the gain that the row had. So one projector serves all heads exactly,
and no head waits for another.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Float64, Records
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.spec import (
    NOT_NEGATIVE,
    Record,
    axes,
    record,
    records,
)
from loco_stream._learner.arrays.state import State
from loco_stream._learner.settings import Settings
from loco_stream._learner.targets.state import TargetScratch, TargetState


class HeadState(NamedTuple):
    """Rows that wait for the values of later heads, in a ring with a place per head.

    counters: n_rows kept so far
    rows: of inputs, as they came
    vectors: [traces | 1 | scaled features] of each row
    gains, linear_gains: k / (1 + x'Px) of each member
    outputs: of each member for each head, when the row was predicted
    predicted, repeated, forecasts, radii: at the time, of each head, the change that the network
    predicts, the one to the value that it would repeat, the one that is forecast, and half widths
    of its intervals
    errors: mean error of each head if each input were the change; infinite before any
    guards: of each head, n_errors compared, mean error of the better one, by how much fewer errors
    the repeated value had made of late, and mean error if it repeated the last value
    log_scales: logarithm of the factor that the intervals of each head are adapted by
    """

    counters: Annotated[Record, record(np.int64, n_rows=0)]
    rows: Annotated[Float64, axes("classes", "features", start=np.nan)]
    vectors: Annotated[Float32, axes("classes", "all_inputs")]
    gains: Annotated[Float32, axes("classes", "trace_members", "inputs")]
    linear_gains: Annotated[Float32, axes("classes", "linear_members", "linear_inputs")]
    outputs: Annotated[Float32, axes("classes", "outputs*classes")]
    predicted: Annotated[Float64, axes("classes", "classes")]
    repeated: Annotated[Float64, axes("classes", "classes")]
    forecasts: Annotated[Float64, axes("classes", "classes")]
    radii: Annotated[Float64, axes("classes", "classes", "coverages", start=np.inf)]
    errors: Annotated[Float64, axes("classes", "features", start=np.inf, within=NOT_NEGATIVE)]
    guards: Annotated[
        Records,
        records("classes", np.float64, n_errors=0.0, error=0.0, advantage=0.0, unchanged=0.0),
    ]
    log_scales: Annotated[Float64, axes("classes", "coverages")]


class HeadModel(NamedTuple):
    """Everything that a step of a model with heads reads and writes."""

    settings: Settings
    state: State
    scratch: Scratch
    targets: TargetState
    work: TargetScratch
    heads: HeadState

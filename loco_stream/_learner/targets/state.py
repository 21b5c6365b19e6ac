"""What each target of a regression with several targets has of its own.

The groups hold one row per target. Kernels join the row of a target to the group that the kernels
of a single target take; none of them may return one.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64, Records
from loco_stream._learner import scale_guard
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.spec import (
    NOT_NEGATIVE,
    PerClass,
    Record,
    axes,
    record,
    records,
)
from loco_stream._learner.arrays.state import State
from loco_stream._learner.readout.delayed_values import ERRORS
from loco_stream._learner.readout.intervals import start_risks
from loco_stream._learner.readout.stacks import start_equal, start_prior
from loco_stream._learner.settings import Settings


class Statistics(NamedTuple):
    """Running statistics of each target, as in `TargetStatistics`."""

    n_values: PerClass
    mean: PerClass
    squares: Annotated[Float64, axes("classes", within=NOT_NEGATIVE)]
    lowest: Annotated[Float64, axes("classes", start=np.inf)]
    highest: Annotated[Float64, axes("classes", start=-np.inf)]
    beyond: PerClass
    first: Annotated[Float64, axes(scale_guard.BLOCK, "classes")]


class Residuals(NamedTuple):
    """Residuals of each target, as in `ResidualState`."""

    counters: Annotated[Records, records("classes", np.int64, n_residuals=0)]
    recent: Annotated[Float64, axes("classes", "residuals", within=NOT_NEGATIVE)]
    ordered: Annotated[Float64, axes("classes", "residuals", within=NOT_NEGATIVE)]
    risks: Annotated[Float64, axes("classes", "coverages", start=start_risks, within=(0.0, 1.0))]


class Stacks(NamedTuple):
    """The least-squares stack of each target, as in `StackState`."""

    weights: Annotated[Float64, axes("classes", "stacked", start=start_equal)]
    projectors: Annotated[Float64, axes("classes", "stacked", "stacked", start=start_prior)]


class Delayed(NamedTuple):
    """What late values need of each target, as in `DelayedValueState`."""

    errors: Annotated[Records, records("classes", np.float64, **ERRORS)]
    log_weights: Annotated[Float64, axes("classes", "late_experts")]
    stacks: Annotated[Float64, axes("classes", "late_stacked", start=start_equal)]
    projectors: Annotated[
        Float64, axes("classes", "late_stacked", "late_stacked", start=start_prior)
    ]


class TargetState(NamedTuple):
    """All numbers that a model with several targets learns besides `State`.

    counters: n_missing values of targets so far
    """

    counters: Annotated[Record, record(np.int64, n_missing=0)]
    statistics: Statistics
    residuals: Residuals
    stacks: Stacks
    delayed: Delayed


class TargetScratch(NamedTuple):
    """Working memory.

    weights, then: of each block of outputs in the output of each target, now and when a late row
    was predicted
    credit_weights: the same in the output that the hidden layers learn from
    """

    weights: Annotated[Float64, axes("classes", "stacked")]
    then: Annotated[Float64, axes("classes", "stacked")]
    credit_weights: Annotated[Float64, axes("classes", "stacked")]


class TargetModel(NamedTuple):
    """Everything that a step of a model with several targets reads and writes."""

    settings: Settings
    state: State
    scratch: Scratch
    targets: TargetState
    work: TargetScratch

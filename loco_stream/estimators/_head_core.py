"""The model inside a forecaster: a target per step ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._learner.arrays.allocate import lengths_of
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.state import State
from loco_stream._learner.settings import Settings
from loco_stream._learner.targets import head_step
from loco_stream._learner.targets.heads import (
    HeadModel,
    HeadState,
    allocate_heads,
    grow_heads,
    restore_heads,
)
from loco_stream._learner.targets.kernel_args import HeadKernelArgs
from loco_stream._learner.targets.state import TargetState, allocate_target_scratch
from loco_stream._options import ModelOptions
from loco_stream._persistence.content import SavedArrays
from loco_stream._text import counted
from loco_stream.estimators._target_core import TargetCore

_OBSERVED = np.zeros((1, 0))


class HeadCore(TargetCore):
    """A model core whose targets are the values of the next rows.

    `n_heads`: steps ahead.
    """

    _groups: ClassVar[Mapping[str, type[Any]]] = {"targets": TargetState, "heads": HeadState}

    def __init__(self, options: ModelOptions, n_heads: int) -> None:
        super().__init__(options)
        self.n_heads = n_heads
        self.heads: HeadState | None = None

    def adopt(self, settings: Settings, state: State) -> None:
        """Continue with a state whose arrays were made or replaced."""
        n_features = lengths_of(state)[0]
        if self.heads is None:
            self.heads = allocate_heads(self.layout, settings, n_features, self.n_heads)
        else:
            self.heads = grow_heads(self.layout, settings, self.heads, n_features)
        super().adopt(settings, state)

    def _make_args(  # type: ignore[override]
        self, settings: Settings, state: State, scratch: Scratch
    ) -> HeadKernelArgs:
        assert self.targets is not None
        assert self.heads is not None
        work = allocate_target_scratch(self.layout, settings, state)
        model = HeadModel(settings, state, scratch, self.targets, work, self.heads)
        return HeadKernelArgs(model, self._args)

    def _step(
        self,
        rows: Float64,
        times: Float64,
        targets: tuple[Int64, Float64],
        mode: int,
        written: tuple[Float64, Float64, Float64],
    ) -> None:
        values = targets[1].reshape(-1, self.n_heads)
        answers, radii, _ = written
        assert self._args is not None
        head_step.run(*self._args.args, rows, times, values, mode, answers, radii)

    def observe(self, rows: Float64, times: Float64) -> None:
        """Move the context on by rows of which nothing is learned."""
        tickets = np.repeat(_OBSERVED, len(rows), axis=0)
        self.run(rows, predicts=False, learns=False, times=times, tickets=tickets)

    def _restore_groups(
        self,
        settings: Settings,
        arrays: Mapping[str, SavedArrays],
        lengths: tuple[int, int],
    ) -> None:
        super()._restore_groups(settings, arrays, lengths)
        if len(self.classes) != self.n_heads:
            raise ValueError(
                f"it must have {counted(self.n_heads, 'target')}, got {len(self.classes)}"
            )
        self.heads = restore_heads(self.layout, settings, arrays["heads"], lengths)

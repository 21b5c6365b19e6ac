"""The model inside a forecaster: a target per step ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._learner.arrays.allocate import lengths_of, shapes_for
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.shapes import shapes_of
from loco_stream._learner.arrays.spec import grown, make_group, restored
from loco_stream._learner.arrays.state import State
from loco_stream._learner.kernel_args import KernelArgs
from loco_stream._learner.settings import Settings
from loco_stream._learner.targets import head_step
from loco_stream._learner.targets.heads import HeadModel, HeadState
from loco_stream._learner.targets.state import TargetScratch, TargetState
from loco_stream._options import ModelOptions
from loco_stream._persistence.content import SavedArrays
from loco_stream._text import counted
from loco_stream.estimators._target_core import TargetCore

_OBSERVED = np.zeros((1, 0))


class HeadCore(TargetCore):
    """A model core whose targets are the values of the next rows.

    `n_heads`: steps ahead.
    """

    takes_texts = False
    _groups: ClassVar[Mapping[str, type[Any]]] = {"targets": TargetState, "heads": HeadState}

    def __init__(self, options: ModelOptions, n_heads: int) -> None:
        super().__init__(options)
        self.n_heads = n_heads
        self.heads: HeadState | None = None

    def adopt(self, settings: Settings, state: State) -> None:
        """Continue with a state whose arrays were made or replaced."""
        n_features = lengths_of(state)[0]
        shapes = shapes_of(self.layout, settings, n_features, self.n_heads)
        if self.heads is None:
            self.heads = make_group(HeadState, shapes)
        else:  # the rows kept lack the new features
            width = self.heads.rows.shape[1]
            before = shapes_of(self.layout, settings, width, self.n_heads)
            self.heads = grown(self.heads, before, shapes)
        super().adopt(settings, state)

    def _make_args(self, settings: Settings, state: State, scratch: Scratch) -> KernelArgs:
        assert self.targets is not None
        assert self.heads is not None
        work = make_group(TargetScratch, shapes_for(self.layout, settings, state))
        model = HeadModel(settings, state, scratch, self.targets, work, self.heads)
        return KernelArgs(model, self._args)

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
        self.heads = restored(
            HeadState, arrays["heads"], shapes_of(self.layout, settings, *lengths)
        )

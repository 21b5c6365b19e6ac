"""The model inside a forecaster: a target per step ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.estimators._core import Float64
from loco_stream.estimators._target_core import TargetCore
from loco_stream.learner.arrays.allocate import lengths_of
from loco_stream.learner.arrays.scratch import Scratch
from loco_stream.learner.arrays.spec import Array, build, flatten
from loco_stream.learner.arrays.state import State
from loco_stream.learner.settings import Settings
from loco_stream.learner.targets import head_step
from loco_stream.learner.targets.heads import (
    HeadModel,
    HeadState,
    allocate_heads,
    grow_heads,
    restore_heads,
)
from loco_stream.learner.targets.kernel_args import HeadKernelArgs
from loco_stream.learner.targets.state import allocate_target_scratch
from loco_stream.options import ModelOptions
from loco_stream.persistence.content import Config

__all__ = ["HeadCore"]

_PREFIX = "heads."  # of the names of its own arrays in a file
_OBSERVED = np.zeros((1, 0))


class HeadCore(TargetCore):
    """A model core whose targets are the values of the next rows.

    Parameters
    ----------
    options
        Checked options.
    n_heads
        Steps ahead.
    """

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
        return HeadKernelArgs(HeadModel(settings, state, scratch, self.targets, work, self.heads))

    def _step(
        self,
        rows: Float64,
        times: Float64,
        targets: tuple[NDArray[np.int64], Float64],
        mode: int,
        answers: tuple[Float64, Float64],
        tickets: Float64,
    ) -> None:
        values = targets[1].reshape(-1, self.n_heads)
        head_step.run(*self.kernel_args, rows, times, values, mode, *answers)

    def observe(self, rows: Float64, times: Float64) -> None:
        """Move the context on by rows of which nothing is learned."""
        tickets = np.repeat(_OBSERVED, len(rows), axis=0)
        self.run(rows, predicts=False, learns=False, times=times, tickets=tickets)

    # Copies and files

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            return {**super().__getstate__(), "heads": self._ring()}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        arrays = kept.pop("heads")
        heads = build(HeadState, lambda spec: arrays[spec.name]) if arrays else None
        super().__setstate__({**kept, "heads": heads})

    def _ring(self) -> dict[str, Array]:
        if self.heads is None:
            return {}
        return {name: array.copy() for name, array in flatten(self.heads).items()}

    def export(self, kind: str) -> tuple[Config, dict[str, Array]]:
        """Return plain values and copies of all arrays, which `restore` continues from."""
        with self.lock:
            config, arrays = super().export(kind)
            return config, arrays | {_PREFIX + name: a for name, a in self._ring().items()}

    def _restored_state(self, settings: Settings, arrays: Mapping[str, Array]) -> State:
        own = {name for name in arrays if name.startswith(_PREFIX)}
        rest = {name: array for name, array in arrays.items() if name not in own}
        state = super()._restored_state(settings, rest)
        if len(self.classes) != self.n_heads:
            raise ValueError(f"there are {len(self.classes)} targets for {self.n_heads} heads")
        named = {name.removeprefix(_PREFIX): arrays[name] for name in own}
        self.heads = restore_heads(self.layout, settings, named, lengths_of(state))
        return state

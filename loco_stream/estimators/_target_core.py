"""The model inside an estimator with several targets."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._learner.arrays.allocate import lengths_of, shapes_for
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.shapes import shapes_of
from loco_stream._learner.arrays.spec import build, copies, grown, make_group, restored
from loco_stream._learner.arrays.state import State
from loco_stream._learner.kernel_args import KernelArgs
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.intervals import COVERAGES
from loco_stream._learner.settings import Settings
from loco_stream._learner.targets import step
from loco_stream._learner.targets.state import (
    TargetModel,
    TargetScratch,
    TargetState,
)
from loco_stream._numbers import shown
from loco_stream._options import ModelOptions
from loco_stream._persistence.content import Arrays, Config, SavedArrays
from loco_stream._text import counted
from loco_stream.errors import InputError
from loco_stream.estimators._core import NO_LABELS, NO_PROBA, NO_TICKETS, ModelCore
from loco_stream.estimators._inputs.slots import hashable_value
from loco_stream.estimators._inputs.tables import Names, column_names, read_target
from loco_stream.estimators._saved_checks import check_names


class TargetCore(ModelCore):
    """A model core whose outputs are named targets, each a number.

    `classes` are the names of the targets, in the order of their slots. Answers are
    (n, targets) float64.
    """

    _groups: ClassVar[Mapping[str, type[Any]]] = {"targets": TargetState}
    """Groups of arrays besides the state, by attribute; a file names them ATTRIBUTE.ARRAY."""

    learns_tickets_once = False  # the values of a row's targets may come one by one

    def __init__(self, options: ModelOptions) -> None:
        super().__init__(options, regression=True)
        self.targets: TargetState | None = None

    # Room

    def _capacity(self, n_classes: int) -> int:
        return max(n_classes, 1)

    def adopt(self, settings: Settings, state: State) -> None:
        """Continue with a state whose arrays were made or replaced."""
        lengths = lengths_of(state)
        shapes = shapes_of(self.layout, settings, *lengths)
        if self.targets is None:
            self.targets = make_group(TargetState, shapes)
        elif (n_before := len(self.targets.statistics.mean)) != lengths[1]:
            before = shapes_of(self.layout, settings, lengths[0], n_before)
            self.targets = grown(self.targets, before, shapes)
        super().adopt(settings, state)

    def _make_args(self, settings: Settings, state: State, scratch: Scratch) -> KernelArgs:
        assert self.targets is not None
        work = make_group(TargetScratch, shapes_for(self.layout, settings, state))
        return KernelArgs(TargetModel(settings, state, scratch, self.targets, work), self._args)

    # Targets and answers

    def no_answers(self, n: int) -> Float64:
        """Return 0 for each of the targets."""
        return np.zeros((n, len(self.classes)))

    @property
    def n_outputs(self) -> int:
        """Number of targets that have a name."""
        return len(self.classes)

    def read_target(self, y: Any) -> tuple[tuple[Hashable, ...], Any]:
        """Return the names and the values of the targets; a missing value (None, NaN) is NaN."""
        if not isinstance(y, Mapping):
            raise InputError(f"`y` must be a dict of numbers by target, got {shown(y)}")
        names = tuple(hashable_value(name, what="name of a target") for name in y)
        values = [read_target(f"y[{name!r}]", y[name]) for name in y]
        if all(math.isnan(value) for value in values):
            raise InputError("`y` must have a value for at least one target, got none")
        return names, values

    def placed_target(self, slots: Sequence[int], value: Any) -> tuple[int, Any]:
        """Return 0 and the value of each target in slot order, NaN where it is missing."""
        placed = np.full(len(self.classes), np.nan)
        placed[list(slots)] = value
        return 0, placed

    def target_names(self, width: int, targets: Names) -> Sequence[Hashable]:
        """Return the name of each column of a matrix of targets.

        Raises `InputError` if there are no names, and the width is not the number of targets of the
        model.
        """
        if targets is not None:
            return column_names(targets, width, "targets", "Y")
        if self.classes and len(self.classes) != width:
            raise InputError(
                f"`Y` must have {counted(len(self.classes), 'column')}, as the model has targets, "
                f"got {width}; pass `targets` to name the columns"
            )
        return list(self.classes) or range(width)

    def learn_matrix(self, X: Float64, names: Sequence[Hashable], Y: Float64) -> Float64:
        """Return predictions of rows, each before it is learned, without checks.

        X, names: (n, features) in C order, and the features, which are admitted
        Y: (n, targets) of all targets in slot order, NaN where missing
        """
        answers = self.run(self.placed(X, names), np.zeros(len(X), np.int64), Y)
        self.warn_of_columns()
        return answers

    def no_radii(self, n: int) -> Float64:
        """Return room for the half widths of the intervals of `n` rows, infinite."""
        return np.full((n, len(self.classes) * len(COVERAGES)), np.inf)

    def deviations(self) -> Float64:
        """Return the standard deviation of each target, 1 where it is constant."""
        assert self.targets is not None
        own = self.targets.statistics
        variance = own.squares / np.maximum(own.n_values, 1.0)
        return np.sqrt(np.where(variance > 0.0, variance, 1.0))

    def combined_weights(self, j: int) -> Float64:
        """Return the weight of each member in the output of target `j` on the last row."""
        assert self._args is not None
        weights: Float64 = self._args.model.work.weights[j]
        return weights

    def mixtures(self) -> dict[Hashable, dict[str, float]]:
        """Return the weight of each member in the stack of each target."""
        settings = self.settings
        if settings is None or self.targets is None:
            return {}
        names = [name for expert in EXPERTS for name in expert.names(self.layout, settings)]
        weights = self.targets.stacks.weights.tolist()
        return {
            target: dict(zip(names, own, strict=True))
            for target, own in zip(self.classes, weights, strict=False)
        }

    def shown(self, answer: Any, proba: Float64) -> tuple[Any, None]:
        """Return the answers by target."""
        return dict(zip(self.classes, answer.tolist(), strict=True)), None

    def shown_unseen(self) -> tuple[Any, None]:
        """Return 0.0 for each target that is known."""
        return dict.fromkeys(self.classes, 0.0), None

    def _run_one(
        self,
        mode: int,
        target: tuple[int, Any] | None,
        times: Float64,
        proba: Float64 = NO_PROBA,
        tickets: Float64 = NO_TICKETS,
    ) -> Float64:
        """Do what a core with one output does, whose arrays can be kept."""
        values = np.zeros(0) if target is None else target[1]
        answers = self.no_answers(1)
        self._step(self.row, times, (NO_LABELS, values), mode, (answers, proba, tickets))
        return answers

    def _step(
        self,
        rows: Float64,
        times: Float64,
        targets: tuple[Int64, Float64],
        mode: int,
        written: tuple[Float64, Float64, Float64],
    ) -> None:
        if not self.classes:  # features were reserved, and no target is known yet
            return
        values = targets[1].reshape(-1, len(self.classes))
        assert self._args is not None
        step.run(*self._args.args, rows, times, values, mode, written)

    # Copies and files

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            own = {name: copies(getattr(self, name)) for name in self._groups}
            return super().__getstate__() | own

    def __setstate__(self, kept: dict[str, Any]) -> None:
        own = {
            name: _built(group, kept[name]) if kept[name] else None
            for name, group in self._groups.items()
        }
        super().__setstate__(kept | own)

    def export(self, kind: str) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays, which `restore` continues from."""
        with self.lock:
            config, arrays = super().export(kind)
            for group in self._groups:
                own = copies(getattr(self, group))
                arrays |= {f"{group}.{name}": array for name, array in own.items()}
            return config, arrays

    def _check_classes(self, classes: Any) -> list[Hashable]:
        return [
            hashable_value(name, "classes", "name of a target")
            for name in check_names("classes", classes)
        ]

    def _restored_state(self, settings: Settings, arrays: SavedArrays) -> State:
        own: dict[str, Arrays] = {group: {} for group in self._groups}
        rest = {}
        for name, array in arrays.items():
            group, _, short = name.partition(".")
            if group in own:
                own[group][short] = array
            else:
                rest[name] = array
        state = super()._restored_state(settings, rest)
        self._restore_groups(settings, own, lengths_of(state))
        return state

    def _restore_groups(
        self,
        settings: Settings,
        arrays: Mapping[str, SavedArrays],
        lengths: tuple[int, int],
    ) -> None:
        if lengths[1] != max(len(self.classes), 1):
            raise ValueError(
                f"it must have {counted(lengths[1], 'target')}, got {len(self.classes)}"
            )
        self.targets = restored(
            TargetState, arrays["targets"], shapes_of(self.layout, settings, *lengths)
        )


def _built(group: type[Any], arrays: SavedArrays) -> Any:
    return build(group, lambda spec: arrays[spec.name])

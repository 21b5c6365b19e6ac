"""What both estimators share: settings, slots, capacity, rows in and answers out, saved state."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from threading import RLock
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream import rng
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.estimators._attributes import Attributes
from loco_stream.estimators._saved_checks import check_classes, check_names, check_width
from loco_stream.estimators.export import Export
from loco_stream.estimators.inputs.categories import (
    Categories,
    TextColumn,
    first_rows,
    text_columns,
)
from loco_stream.estimators.inputs.data_warnings import Notices
from loco_stream.estimators.inputs.row_times import NO_MOMENTS, moment, moments
from loco_stream.estimators.inputs.slots import FeatureSlots, plain_label, require_mapping
from loco_stream.estimators.inputs.tables import Table, column_names, table
from loco_stream.estimators.tickets import Origin
from loco_stream.learner import kernel_args as packing
from loco_stream.learner import step
from loco_stream.learner.arrays.allocate import allocate, class_room, copied, grow, unflatten
from loco_stream.learner.arrays.check import check_state
from loco_stream.learner.arrays.scratch import Scratch, allocate_scratch
from loco_stream.learner.arrays.spec import flatten
from loco_stream.learner.arrays.state import COUNT, MASKED, N_FEATURES, TEXT_STATISTICS, State
from loco_stream.options import COVERAGES, DEFAULTS, ModelConfig, Settings

__all__ = ["LOCOEstimator"]

_STRETCH = 4096  # rows of an array with texts that are widened at a time
_NO_LABELS = np.zeros(0, np.int64)
_NO_VALUES = np.zeros(0)
_NO_PROBA = _NO_TICKETS = np.zeros((0, 0))


class LOCOEstimator(Export, Attributes, base.Estimator):
    """What both estimators share: settings, slots, state, array doors, saving."""

    _regression = False
    _origin: Origin | None = (
        None  # in a model that goes on from a saved one, which may have given tickets too
    )

    def __init__(
        self,
        hidden_sizes: int | Sequence[int] | None = DEFAULTS.hidden_sizes,
        rule: str = DEFAULTS.rule,
        credit: str = DEFAULTS.credit,
        readout: str = DEFAULTS.readout,
        readout_layers: str = DEFAULTS.readout_layers,
        cluster_size: int | None = DEFAULTS.cluster_size,
        perturbation_std: float = DEFAULTS.perturbation_std,
        n_perturbations: int = DEFAULTS.n_perturbations,
        antithetic: bool = DEFAULTS.antithetic,
        learning_rate: float | None = DEFAULTS.learning_rate,
        orthogonality: float = DEFAULTS.orthogonality,
        n_input_clusters: int = DEFAULTS.n_input_clusters,
        rank: int = DEFAULTS.rank,
        receptive_fields: int | None = DEFAULTS.receptive_fields,
        tau: float | None = DEFAULTS.tau,
        tau_trace: float | None = DEFAULTS.tau_trace,
        gain: float | None = DEFAULTS.gain,
        window: float = DEFAULTS.window,
        leaks: Sequence[float] | None = DEFAULTS.leaks,
        retention: float = DEFAULTS.retention,
        plastic: float = DEFAULTS.plastic,
        class_weight: str | Mapping[Hashable, float] | None = DEFAULTS.class_weight,
        seed: int | None = DEFAULTS.seed,
        neuron: str = DEFAULTS.neuron,
        categories: int = DEFAULTS.categories,
        memory: Sequence[float] | None = DEFAULTS.memory,
        max_delay: int = DEFAULTS.max_delay,
        reset: str = DEFAULTS.reset,
        dt: float | None = DEFAULTS.dt,
        neighbors: int = DEFAULTS.neighbors,
        centroids: int | None = DEFAULTS.centroids,
    ) -> None:
        given = {
            name: value for name, value in locals().items() if name not in ("self", "__class__")
        }
        self._config = ModelConfig(**given)
        if self._regression and class_weight is not None:
            raise ConfigError(
                f"class_weight is {class_weight!r}; allowed is None: a regressor has no classes"
            )
        if self._regression and centroids:
            raise ConfigError(
                f"centroids is {centroids!r}; allowed is None or 0: a regressor has no classes"
            )
        for name, value in given.items():
            setattr(self, name, value)
        self._lock = (
            RLock()
        )  # of every public method that reads or changes more than one of the following
        self._slots = FeatureSlots(bound=self._config.categories)
        self._classes: list[Hashable] = []
        self._class_slots: dict[Hashable, int] = {}
        self._width: int | None = None
        self._layout = self._config.layout_for(1)
        self._settings: Settings | None = None
        self._state: State | None = None
        self._scratch: Scratch | None = None
        self._handle: packing.Handle | None = None
        self._row: NDArray[np.float64] = np.zeros((1, 0))
        self._notices = Notices()
        self._origin = Origin()
        self._sequence: Hashable = None  # the one that the last row of an array belonged to

    # Workspace

    def reserve(self, features: Iterable[Hashable]) -> None:
        """Give features their slots before a row is learned: copies of such a model start quicker.

        Parameters
        ----------
        features
            Names of the first row's columns; to the bit as if that row had brought them.
        """
        with self._lock:
            self._admit(features)

    def _ensure(self, n_classes: int) -> None:
        """Make sure of room for all known features and `n_classes` outputs."""
        if self._settings is None or self._state is None:
            self._allocate(max(len(self._slots.index), 1), class_room(n_classes))
        settings = self._settings
        state = self._state
        assert settings is not None
        assert state is not None
        room_features = state.statistics.shape[1]
        room_classes = state.classes.shape[1]
        if len(self._slots) > room_features or n_classes > room_classes:
            features = (
                room_features
                if len(self._slots) <= room_features
                else max(2 * room_features, len(self._slots))
            )
            state = grow(
                self._layout, settings, state, features, max(room_classes, class_room(n_classes))
            )
            self._adopt(settings, state)
        state.counts[N_FEATURES] = len(self._slots)
        self._set_class_weights()

    def _set_class_weights(self) -> None:
        """Hand the weights that the user gave to compiled code; a class without one has 1."""
        given = self._config.class_weight
        if isinstance(given, Mapping) and self._scratch is not None:
            for slot, label in enumerate(self._classes):
                self._scratch.class_weights[slot] = given.get(label, 1.0)

    def _allocate(self, n_features: int, n_classes: int) -> None:
        settings = self._resolve(n_features)
        self._adopt(
            settings,
            allocate(self._layout, settings, n_features, 1 if self._regression else n_classes),
        )

    def _resolve(self, width: int) -> Settings:
        """Settle what the width of the first row decides."""
        self._width, self._layout = width, self._config.layout_for(width)
        key = rng.derive_key(self._config.seed or 0, 0)
        return self._config.settings(self._layout, regression=self._regression, seed_key=key)

    def _adopt(self, settings: Settings, state: State) -> None:
        scratch = allocate_scratch(self._layout, settings, state)
        self._settings = settings
        self._state = state
        self._scratch = scratch
        self._handle = packing.Handle(packing.Model(settings, state, scratch))
        self._row = np.full((1, state.statistics.shape[1]), np.nan)
        self._set_class_weights()

    # Rows

    def _run(
        self,
        rows: NDArray[np.float64],
        labels: NDArray[np.int64] = _NO_LABELS,
        values: NDArray[np.float64] = _NO_VALUES,
        *,
        predicts: bool = True,
        learns: bool = True,
        proba: NDArray[np.float64] = _NO_PROBA,
        moments: NDArray[np.float64] = NO_MOMENTS,
        tickets: NDArray[np.float64] = _NO_TICKETS,
    ) -> NDArray[np.float64]:
        """Cross into compiled code once; return the answers (slots or values), -1 where not asked.

        With `tickets`, (n, size), rows are learned late from them, or observed and the tickets
        written.
        """
        answers = np.full(len(rows), -1.0)
        assert self._handle is not None
        assert self._state is not None
        mode = step.PREDICTS * predicts + step.LEARNS * learns
        if len(tickets):
            mode += step.LATE if learns else step.OBSERVES
        step.run(*self._handle.door, rows, moments, labels, values, mode, answers, proba, tickets)
        if (
            learns
        ):  # a slot of a text is masked where the text is not, and a feature's own slot where it is
            self._state.counts[MASKED] -= len(self._slots.categories) * len(rows)
        return answers

    def _admit(
        self,
        features: Iterable[Hashable],
        labels: Iterable[Hashable] = (),
        texts: Iterable[tuple[Hashable, object]] = (),
    ) -> list[int]:
        """Give new features, classes and texts a slot and room; return the slots of the labels.

        All or nothing.
        """
        n_features = len(self._slots)
        n_classes = len(self._classes)
        n_known = self._slots.n_features
        try:
            self._slots.register(features)
            slots = [self._slot_of(label) for label in labels]
            new = self._slots.register_texts(texts)
            self._ensure(len(self._classes))
        except MemoryError as error:
            asked = f"{len(self._slots)} features and {len(self._classes)} classes"
            self._slots.forget(n_features)
            for label in self._classes[n_classes:]:
                del self._class_slots[label]
            del self._classes[n_classes:]
            why = f": {error}" if str(error) else ""
            raise InputError(f"there is no memory for a model of {asked}{why}") from None
        if self._slots.n_features > n_known:
            self._notices.watch(list(self._slots.index)[n_known:], self.n_seen)
        if new and self._state is not None:
            self._state.statistics[:, new] = np.reshape(TEXT_STATISTICS, (-1, 1))
        return slots

    def _slot_of(self, label: Hashable) -> int:
        if label not in self._class_slots:
            self._class_slots[label] = len(self._classes)
            self._classes.append(label)
        return self._class_slots[label]

    def _moment(self, t: float | None) -> NDArray[np.float64]:
        return moment(t, remembers=self._config.remembers)

    def _moments(
        self, t: ArrayLike | None, sequence: Iterable[Any] | None, n: int
    ) -> tuple[NDArray[np.float64], Hashable]:
        return moments(t, sequence, n, self._sequence, remembers=self._config.remembers)

    def _learn_row(
        self,
        x: Mapping[Hashable, Any],
        slot: int,
        value: float,
        moment: NDArray[np.float64],
        tickets: NDArray[np.float64] = _NO_TICKETS,
    ) -> None:
        """Learn a row whose features and class are admitted."""
        if self._slots.fill(x, self._row[0]):
            if self._slots.has_new_texts(x.items()):
                self._admit((), texts=x.items())
                self._slots.fill(x, self._row[0])
            self._slots.count_shared(x)
        self._run(
            self._row,
            np.array([slot]),
            np.array([value]),
            predicts=False,
            moments=moment,
            tickets=tickets,
        )
        self._judge()

    def _judge(self) -> None:
        """Warn of columns that brought nothing, once their first rows are learned."""
        if self._notices.due <= self.n_seen and self._state is not None:
            self._notices.judge(
                self.n_seen, partial(self._slots.is_input, self._state.statistics[COUNT])
            )

    def _predict_row(
        self, x: Mapping[Hashable, Any], t: float | None, proba: NDArray[np.float64] = _NO_PROBA
    ) -> float:
        require_mapping(x)
        moment = self._moment(t)
        if self._state is None:
            return -1.0
        if self._slots.fill(x, self._row[0]) and not self._slots.knows_any(x):
            self._notices.strange(x, self._slots.index)
        return float(self._run(self._row, learns=False, proba=proba, moments=moment)[0])

    def _names(self, width: int, features: Iterable[Hashable] | None) -> Sequence[Hashable]:
        """Return the name of each column; unnamed columns are the slots in order."""
        if features is not None:
            return column_names(features, width)
        known = len(self._slots.index)
        if known == 0:
            return range(width)
        if width != known:
            raise InputError(
                f"X has {width} columns, but this model knows {known} features; "
                "pass features= to say which column is which"
            )
        return list(self._slots.index)

    def _placed(self, given: NDArray[np.float64], names: Iterable[Hashable]) -> NDArray[np.float64]:
        """Return rows in slot order, (n, feature capacity), NaN where a feature has no column."""
        columns = [self._slots.index.get(name, -1) for name in names]
        capacity = self._row.shape[1]
        if columns == list(range(capacity)):
            return given
        rows = np.full((given.shape[0], capacity), np.nan)
        for j, slot in enumerate(columns):
            if slot >= 0:
                rows[:, slot] = given[:, j]
        return rows

    def _with_texts(
        self,
        given: Table,
        names: Sequence[Hashable],
        columns: Sequence[TextColumn],
        begin: int,
        end: int,
    ) -> NDArray[np.float64]:
        """Return the rows from `begin` to `end` in slot order, 1 where one of the texts is."""
        rows = self._placed(given.numbers[begin:end], names)
        for column in columns:
            column.mark(rows, begin, self._slots.categories)
        return rows

    def _learn_table(
        self,
        given: Table,
        names: Sequence[Hashable],
        labels: NDArray[np.int64],
        values: NDArray[np.float64],
        predicts: bool,
        moments: NDArray[np.float64],
        proba: NDArray[np.float64] = _NO_PROBA,
    ) -> NDArray[np.float64]:
        """Learn rows whose features and classes are admitted.

        Texts get their slots row by row, as by name.
        """
        if not given.texts or not self._slots.categories.bound:
            rows = self._placed(given.numbers, names)
            answers = self._run(
                rows, labels, values, predicts=predicts, proba=proba, moments=moments
            )
            self._judge()
            return answers
        answers = np.full(len(labels), -1.0)
        columns = text_columns(names, given.texts)

        def learn(begin: int, end: int, predicts: bool) -> None:
            for at in range(begin, end, _STRETCH):
                part = slice(at, min(at + _STRETCH, end))
                rows = self._with_texts(given, names, columns, part.start, part.stop)
                said = self._run(
                    rows,
                    labels[part],
                    values[part],
                    predicts=predicts,
                    proba=proba[part],
                    moments=moments[part],
                )
                answers[part] = said if predicts else answers[part]

        begin = 0
        for row in first_rows(columns, self._slots.categories):
            texts = [(column.key, column.text(row)) for column in columns]
            if self._slots.has_new_texts(texts):
                learn(begin, row, predicts)
                if predicts:  # before the row's new texts are known
                    rows = self._with_texts(given, names, columns, row, row + 1)
                    at = slice(row, row + 1)
                    answers[row] = self._run(
                        rows, learns=False, proba=proba[at], moments=moments[at]
                    )[0]
                self._admit((), texts=texts)
                learn(row, row + 1, predicts=False)
                begin = row + 1
        learn(begin, len(labels), predicts)
        for column in columns:
            column.count_shared(self._slots.categories)
        self._judge()
        return answers

    def _predict_rows(
        self,
        X: ArrayLike,
        features: Iterable[Hashable] | None,
        t: ArrayLike | None,
        sequence: Iterable[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return answers (n,), and probabilities (n, classes) or half widths of intervals (n, coverages)."""
        given = table(X)
        n = len(given.numbers)
        with self._lock:
            names = self._names(given.numbers.shape[1], features)
            moments, _ = self._moments(t, sequence, n)
            if self._state is None:
                return np.full(n, -1.0), np.zeros((n, 0))
            if not self._slots.knows_any(names):
                self._notices.strange(names, self._slots.index)
            proba = np.zeros(
                (n, len(COVERAGES) if self._regression else self._state.classes.shape[1])
            )
            rows = self._with_texts(given, names, text_columns(names, given.texts), 0, n)
            answers = self._run(rows, learns=False, proba=proba, moments=moments)
            return answers, proba if self._regression else proba[:, : len(self._classes)]

    # Saving

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {name: value for name, value in self.__dict__.items() if name != "_lock"}
            kept["_scratch"] = kept["_handle"] = kept["_row"] = None
            kept["_slots"], kept["_notices"] = self._slots.copy(), self._notices.copy()
            kept["_classes"], kept["_class_slots"] = self._classes.copy(), self._class_slots.copy()
            kept["_state"] = None if self._state is None else copied(self._state)
            return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._lock = RLock()
        self._row = np.zeros((1, 0))
        if self._settings is not None and self._state is not None:
            self._adopt(self._settings, self._state)

    def export_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (plain values, copies of all arrays).

        What `from_state` needs to go on bit-equal.
        """
        with self._lock:
            config: dict[str, Any] = {
                "kind": type(self).__name__,
                "parameters": self._config.to_dict(),
                "features": list(self._slots.index),
                "texts": [list(entry) for entry in self._slots.categories],
                "shared": self._slots.categories.shared,
                "classes": list(self._classes),
                "width": self._width,
                "sequence": self._sequence,
            }
            return config, {} if self._state is None else flatten(copied(self._state))

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make the model that `export_state` described.

        Raises
        ------
        CheckpointError
            A part is missing or does not fit the rest.
        """
        try:
            model = cls(**config["parameters"])
            model._origin = None
            names = check_names("features", config["features"])
            texts = Categories.restored(
                model._config.categories, config.get("texts", ()), config.get("shared", {})
            )
            model._slots = FeatureSlots.restored(names, texts)
            model._classes = check_classes(config["classes"], regression=cls._regression)
            model._class_slots = {label: slot for slot, label in enumerate(model._classes)}
            model._sequence = (
                None if config["sequence"] is None else plain_label(config["sequence"])
            )
            if config["width"] is not None:
                settings = model._resolve(check_width(config["width"], len(names)))
                state = unflatten(model._layout, settings, arrays)
                check_state(settings, state, len(model._slots), len(model._classes))
                model._adopt(settings, state)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, MemoryError) as error:
            raise CheckpointError(
                f"this saved {cls.__name__} cannot be restored: {error!r}"
            ) from error
        return model

"""The model inside an estimator.

Named features and classes, compiled state, rows in and answers out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple
from weakref import WeakSet

import numpy as np

from loco_stream import _rng as rng
from loco_stream._arrays import Array, Float64, Int64
from loco_stream._learner import step
from loco_stream._learner.arrays.allocate import (
    allocate,
    class_capacity,
    grow,
    lengths_of,
    to_save,
    unflatten,
)
from loco_stream._learner.arrays.check import check_state
from loco_stream._learner.arrays.scratch import Scratch, allocate_scratch, renew_scratch
from loco_stream._learner.arrays.spec import build, copies, realigned
from loco_stream._learner.arrays.state import TEXT_STATISTICS, State
from loco_stream._learner.kernel_args import KernelArgs, Model
from loco_stream._learner.readout import sequence_readout, sequences
from loco_stream._learner.readout.sequence_readout import SequenceReadouts
from loco_stream._learner.settings import Settings, resolve
from loco_stream._learner.texts import have_one_channel
from loco_stream._learner.workers import workers
from loco_stream._locks import fork_safe_lock
from loco_stream._numbers import require_number, shown
from loco_stream._options import ModelOptions
from loco_stream._persistence.content import Arrays, Config, SavedArrays, restoring
from loco_stream._text import counted
from loco_stream.errors import InputError
from loco_stream.estimators._decision import Decision
from loco_stream.estimators._inputs.categories import (
    Categories,
    TextColumn,
    spelled,
    text_columns,
)
from loco_stream.estimators._inputs.data_warnings import DataWarnings
from loco_stream.estimators._inputs.row_times import NO_TIMES, row_time, row_times
from loco_stream.estimators._inputs.slots import (
    FeatureSlots,
    hashable_value,
    require_mapping,
    require_name,
)
from loco_stream.estimators._inputs.tables import (
    Names,
    Table,
    column_names,
    labels,
    targets,
    with_categories,
)
from loco_stream.estimators._saved_checks import check_flag, check_names, check_width
from loco_stream.estimators._tickets import Origin, Ticket

NO_LABELS = np.zeros(0, np.int64)
_NO_VALUES = np.zeros(0)
NO_PROBA = np.zeros((0, 0))
NO_TICKETS = np.zeros((0, 0))
_SHARED_ROWS = 16  # rows of a call, from which on threads are worth starting
# Attributes that a row which does not fit in memory leaves as they were.
_ROOM = ("width", "early_texts", "layout", "settings", "state", "scratch", "_args", "row")
_READOUT = "sequence_readout."  # begins the names of its arrays
_KINDS = {True: 0, False: step.ANYWHERE, None: step.BY_EVIDENCE}  # of rows that are predicted


class OneRow(NamedTuple):
    """Arrays of a call with one row: slot and value of the target, and room for the answer."""

    label: Int64
    value: Float64
    answer: Float64

    @classmethod
    def make(cls) -> OneRow:
        """Return arrays for a class or one value, kept: making them takes a tenth of a call."""
        return cls(np.zeros(1, np.int64), np.zeros(1), np.zeros(1))


class ModelCore:
    """Options, feature slots, classes and the compiled state of one model.

    Methods do not lock; `lock` is held by the estimator's public methods.

    options: checked options
    regression: whether there is one output, a value

    Its attributes:
    categorical: features whose numbers are texts
    width: features of the first row; None before it
    early_texts: whether any of them was a text
    settings, state, scratch: None before the first row
    origin: tells tickets of this model from those of others; None in a model that continues a saved
        one, which may have given tickets too
    learned_tickets: tickets that were learned, as long as somebody holds them
    sequence: the sequence that the last row of an array belonged to
    decision: chooses classes from probabilities; None for the most probable one
    n_threads: number of threads that may learn wide rows
    n_threads_used: the largest number of threads that learned rows together
    sequence_readouts: of sequences as a whole, by layer; empty before the first one
    """

    learns_tickets_once: ClassVar[bool] = True
    takes_texts: ClassVar[bool] = True  # as categories

    def __init__(self, options: ModelOptions, *, regression: bool) -> None:
        self.options = options
        self.regression = regression
        self.lock = fork_safe_lock()
        self.slots = FeatureSlots(bound=options.categories)
        self.categorical = frozenset(options.advanced.categorical_features)
        self.classes: list[Hashable] = []
        self.class_slots: dict[Hashable, int] = {}
        self.width: int | None = None
        self.early_texts = False
        self.layout = options.layout_for(1)
        self.settings: Settings | None = None
        self.state: State | None = None
        self.scratch: Scratch | None = None
        self.warnings = DataWarnings(takes_texts=self.takes_texts)
        # a name that no row has is misspelt
        self.warnings.watch(options.advanced.categorical_features, 0)
        self.origin: Origin | None = Origin()
        self.learned_tickets: WeakSet[Ticket] = WeakSet()
        self.sequence: Hashable = None
        self.decision: Decision | None = None
        self.n_threads = 1
        self.n_threads_used = 1
        self.sequence_readouts: SequenceReadouts = {}
        self.row: Float64 = np.zeros((1, 0))
        self._args: KernelArgs | None = None
        # names of columns that are the slots in order, and their number
        self._in_order: tuple[Sequence[Hashable], int] = ((), -1)
        self._one = OneRow.make()

    @property
    def n_seen(self) -> int:
        """Number of rows learned."""
        # by name of the field: the attribute of a record takes ten times as long
        return 0 if self.state is None else int(self.state.counts["n_seen"])

    # Room for features and classes

    def admit(
        self,
        features: Collection[Hashable],
        labels: Sequence[Hashable] = (),
        texts: Collection[tuple[Hashable, object]] = (),
    ) -> list[int]:
        """Give new features, classes and texts a slot and room, all or none of them.

        Return the slots of the labels.

        Raises `InputError` if the model would not fit in memory.
        """
        known: list[Any] = list(map(self.class_slots.get, labels))
        has_room = self.state is not None and self.slots.index.keys() >= set(features)
        if has_room and not texts and None not in known:
            return known
        for name in features:
            require_name(name)
        n_slots = len(self.slots)
        n_classes = len(self.classes)
        n_known = self.slots.n_features
        room = {name: getattr(self, name) for name in _ROOM}
        try:
            slots = [self._slot_of(label) for label in labels]
            new = self.slots.register(features, texts)
            self._ensure_room(len(self.classes), len(new))
        except MemoryError as error:
            sizes = (
                f"{counted(self.slots.n_features, 'feature')}, "
                f"{counted(len(self.slots.categories), 'text')} and "
                f"{len(self.classes)} class{'es' * (len(self.classes) != 1)}"
            )
            self.slots.forget(n_slots)
            self._forget_classes(n_classes)
            vars(self).update(room)
            reason = f": {error}" if str(error) else ""
            raise InputError(f"a model of {sizes} does not fit in memory{reason}") from None
        if self.slots.n_features > n_known:
            self.warnings.watch(list(self.slots.index)[n_known:], self.n_seen)
        self.warnings.watch_classes(self.classes[n_classes:])
        if new and self.state is not None:
            for name, value in TEXT_STATISTICS.items():
                getattr(self.state.statistics, name)[new] = value
            if have_one_channel(self.model.settings):
                self.state.texts.is_text[new] = 1
                self.state.texts.n[0] += len(new)
        return slots

    def targets_of(
        self, given: Table, names: Sequence[Hashable], y: Any, held: Sequence[int]
    ) -> tuple[Int64, Float64]:
        """Return slots and values of the targets of rows, (n,); first give room to what is new.

        Raises `InputError` if y cannot be the targets of the rows, or the model would not fit in
        memory.

        given, names: the rows, and the feature of each column
        held: rows that are not learned
        """
        n = len(given.numbers)
        if self.regression:
            values = targets(y, n, held)
            self.admit_table(given, names, held)
            slots = np.zeros(n, np.int64)
        else:
            values = np.zeros(n)
            slots = self._slots_of(given, names, y, held)
        slots[held] = step.HELD_OUT
        return slots, values

    def _slots_of(
        self, given: Table, names: Sequence[Hashable], y: Any, held: Sequence[int]
    ) -> Int64:
        n = len(given.numbers)
        if type(y) is list and len(y) == n:
            known = self._known_slots(names, y)
            if known is not None:
                return known
        learned = np.delete(np.arange(n), held)
        distinct, places = labels(y, n, learned)
        slots = np.zeros(n, np.int64)
        admitted = self.admit_table(given, names, held, distinct)
        slots[learned] = np.array(admitted, np.int64)[places]
        return slots

    def admit_table(
        self,
        given: Table,
        names: Sequence[Hashable],
        held: Sequence[int],
        labels: Sequence[Hashable] = (),
    ) -> list[int]:
        """Do what `admit` does with the columns, and the texts of the first row that is learned.

        held: rows that are not learned; if all are, nothing is admitted
        """
        is_known = (names, self.row.shape[1]) == self._in_order
        if is_known and not labels and not given.texts:
            return []
        kept_out = set(held)
        first = next((row for row in range(len(given.numbers)) if row not in kept_out), None)
        if first is None:
            return []
        texts = [(names[j], cells[first]) for j, cells in given.texts.items()]
        is_new = self.slots.has_new_texts(texts)
        return self.admit(names, labels, texts if is_new else ())

    def _known_slots(self, features: Sequence[Hashable], y: list[Any]) -> Int64 | None:
        """Return the slots of labels, None if a feature or a label may have to be admitted."""
        if (features, self.row.shape[1]) != self._in_order:
            return None
        try:
            return np.fromiter(map(self.class_slots.__getitem__, y), np.int64, len(y))
        except (KeyError, TypeError):  # not known, or no label
            return None

    def _slot_of(self, label: Hashable) -> int:
        if label not in self.class_slots:
            self.class_slots[label] = len(self.classes)
            self.classes.append(label)
        return self.class_slots[label]

    def _forget_classes(self, n: int) -> None:
        """Take back all classes but the first `n`."""
        for label in self.classes[n:]:
            del self.class_slots[label]
        del self.classes[n:]

    def _ensure_room(self, n_classes: int, n_new_texts: int) -> None:
        """Make room for all known features and `n_classes` outputs.

        The last features are texts that are new.
        """
        if n_new_texts and not self.early_texts and self.n_seen == 0:
            self.early_texts = True
            self.state = None  # made before the texts of the first row, for the same width
            self.scratch = None
            self._args = None
        settings = self.settings
        state = self.state
        if settings is None or state is None:
            n_features = self.width or max(len(self.slots.index), 1)
            settings = self._resolve(n_features)
            state = allocate(self.layout, settings, n_features, self._capacity(n_classes))
            self.adopt(settings, state)
        n_texts = int(state.texts.n[0])
        if have_one_channel(settings):
            n_texts += n_new_texts
        n_numbers = len(self.slots) - n_texts
        texts = len(state.texts.weights)
        features, classes = lengths_of(state)
        numbers = features - texts
        if n_numbers > numbers or n_texts > texts or n_classes > classes:
            if n_numbers > numbers:
                numbers = max(2 * numbers, n_numbers)
            if n_texts > texts:
                texts = max(3 * texts // 2, n_texts)
            classes = max(classes, self._capacity(n_classes))
            state = grow(self.layout, settings, state, numbers + texts, classes, texts)
            self.adopt(settings, state)
        state.counts["n_features"] = len(self.slots)
        self.pass_class_weights()

    def _capacity(self, n_classes: int) -> int:
        """Return for how many outputs there is to be room."""
        return 1 if self.regression else class_capacity(n_classes)

    def _resolve(self, width: int) -> Settings:
        """Settle what the width of the first row decides."""
        self.width = width
        self.layout = self.options.layout_for(width, early_texts=self.early_texts)
        key = rng.derive_key(self.options.seed or 0, 0)
        return resolve(self.options, self.layout, regression=self.regression, seed_key=key)

    def adopt(self, settings: Settings, state: State) -> None:
        """Continue with a state whose arrays were made or replaced."""
        if self.scratch is None or self.state is None or settings != self.settings:
            self.scratch = allocate_scratch(self.layout, settings, state)
        else:
            self.scratch = renew_scratch(self.scratch, self.layout, settings, self.state, state)
        self.settings = settings
        self.state = state
        self._args = self._make_args(settings, state, self.scratch)
        self.row = np.full((1, lengths_of(state)[0]), np.nan)
        self.pass_class_weights()

    def _make_args(self, settings: Settings, state: State, scratch: Scratch) -> KernelArgs:
        return KernelArgs(Model(settings, state, scratch), self._args)

    def change_options(self, options: ModelOptions) -> None:
        """Continue with options that change no array."""
        self.options = options
        if self.width is not None and self.state is not None:
            self.adopt(self._resolve(self.width), self.state)

    def pass_class_weights(self) -> None:
        """Hand the weights that the user gave to compiled code; a class without one has 1."""
        weights = self.options.class_weight
        if isinstance(weights, Mapping) and self.scratch is not None:
            for slot, label in enumerate(self.classes):
                self.scratch.class_weights[slot] = weights.get(label, 1.0)

    # Rows

    def time_of(self, t: Any) -> Float64:
        """Return the time of one row as the step reads it.

        Raises `InputError` if t is neither None nor a number.
        """
        return NO_TIMES if t is None else row_time(t, remembers=self.options.remembers)

    def times_of(self, t: Any, sequence: Any, n: int) -> tuple[Float64, Hashable]:
        """Return times and fresh starts of `n` rows, and the sequence of the last one."""
        return row_times(t, sequence, n, self.sequence, remembers=self.options.remembers)

    def run(
        self,
        rows: Float64,
        labels: Int64 = NO_LABELS,
        values: Float64 = _NO_VALUES,
        *,
        predicts: bool = True,
        learns: bool = True,
        proba: Float64 = NO_PROBA,
        times: Float64 = NO_TIMES,
        tickets: Float64 = NO_TICKETS,
        in_stream: bool | None = True,
        is_sequence: bool = False,
    ) -> Float64:
        """Cross into compiled code once.

        Return the answers (slots or values), -1 where not predicted.

        With `tickets`, (n, size), rows are learned late from them, or observed and the tickets
        written. `in_stream` is that of `predict_one`; rows that are learned are in the stream. Rows
        of one sequence are summed up while they are predicted.
        """
        answers = self.no_answers(len(rows))
        n_seen = self.n_seen if self.slots.categories.n else 0
        mode = step.PREDICT * predicts + step.LEARN * learns + step.SEQUENCE * is_sequence
        if predicts and not learns:
            mode += check_mode(in_stream)
        if len(tickets):
            mode += step.LATE if learns else step.OBSERVE
        self._step(rows, times, (labels, values), mode, (answers, proba, tickets))
        if learns:
            self._count_texts(n_seen)
        return answers

    def _count_texts(self, n_before: int) -> None:
        """Take back masked values of the rows learned since `n_before` were.

        A slot of a text is masked where the text is not, and a feature's own slot where it is.
        """
        if self.slots.categories.n and self.state is not None:
            self.state.counts.n_masked -= self.slots.categories.n * (self.n_seen - n_before)

    def _run_one(
        self,
        mode: int,
        target: tuple[int, Any] | None,
        times: Float64,
        proba: Float64 = NO_PROBA,
        tickets: Float64 = NO_TICKETS,
    ) -> Float64:
        """Cross into compiled code with the row in `row`; return the answers to it.

        The answers are overwritten by the next call.
        """
        one = self._one
        if target is not None:
            one.label[0], one.value[0] = target
        one.answer[0] = -1.0
        self._step(self.row, times, (one.label, one.value), mode, (one.answer, proba, tickets))
        return one.answer

    def _step(
        self,
        rows: Float64,
        times: Float64,
        targets: tuple[Int64, Float64],
        mode: int,
        written: tuple[Float64, Float64, Float64],
    ) -> None:
        assert self._args is not None
        cell, words = self._args.args
        labels, values = targets
        if self.n_threads == 1 or not mode & step.LEARN or len(rows) < _SHARED_ROWS:
            step.run(cell, words, rows, times, labels, values, mode, written)
            return
        with workers(self._args, self.n_threads - 1) as n_workers:
            self.n_threads_used = max(self.n_threads_used, 1 + n_workers)
            step.run(cell, words, rows, times, labels, values, mode, written)

    # Targets and answers

    def no_answers(self, n: int) -> Float64:
        """Return the answers to `n` rows before anything is predicted."""
        return np.full(n, 0.0 if self.regression else -1.0)

    @property
    def model(self) -> Model:
        """Settings, state and scratch, once there are any."""
        assert self._args is not None
        return Model(*self._args.model[:3])

    @property
    def n_outputs(self) -> int:
        """Number of outputs that may be known by now."""
        return 1 if self.regression else len(self.classes)

    def read_target(self, y: Any) -> tuple[tuple[Hashable, ...], Any]:
        """Return the labels that a target brings, and its value.

        Raises `InputError` if `y` cannot be the target of such a model.
        """
        return ((), require_number("y", y)) if self.regression else ((hashable_value(y),), 0.0)

    def placed_target(self, slots: Sequence[int], value: Any) -> tuple[int, Any]:
        """Return slot and value as a step takes them; `slots` are those of the labels."""
        return (slots[0] if slots else 0), value

    def deviations(self) -> Float64:
        """Return the scale on which the values of targets are compared; 1 for a single one."""
        return np.ones(1)

    def shown(self, answer: Any, proba: Float64) -> tuple[Any, dict[Hashable, float] | None]:
        """Return an answer as users see it, and the probabilities of a classification."""
        if self.regression:
            return float(answer), None
        named = dict(zip(self.classes, proba.tolist(), strict=False))
        return self.classes[int(answer)], named

    def shown_unseen(self) -> tuple[Any, dict[Hashable, float] | None]:
        """Return the same for a row before anything was learned."""
        return (0.0, None) if self.regression else (None, {})

    def learn_row(
        self,
        x: Mapping[Hashable, Any],
        labels: Sequence[Hashable],
        value: Any,
        times: Float64,
        tickets: Float64 = NO_TICKETS,
    ) -> None:
        """Learn a row by name; its new features, texts and labels get slots first.

        Raises `InputError` if the model would not fit in memory.

        labels, value: as `read_target` returns them
        tickets: (1, size): what was predicted for the row when it was observed
        """
        x = self._with_categories(x)
        is_whole = self.state is not None and self.slots.fill(x, self.row[0])
        slots: list[Any] = list(map(self.class_slots.get, labels))
        if not is_whole or None in slots:
            slots = self.admit(x, labels, x.items())
            self.slots.fill(x, self.row[0])
        has_texts = self.slots.categories.n > 0
        n_before = self.n_seen if has_texts else 0
        mode = step.LEARN + step.LATE if len(tickets) else step.LEARN
        self._run_one(mode, self.placed_target(slots, value), times, tickets=tickets)
        if has_texts:
            self.slots.count_shared(x)
            self._count_texts(n_before)
        if self.warnings.due != math.inf:
            self.warn_of_columns()

    def warn_of_columns(self) -> None:
        """Warn of columns that brought nothing, once their first rows are learned."""
        if self.warnings.due == math.inf or self.state is None:
            return
        if self.warnings.due <= self.n_seen:
            self.warnings.judge(self.n_seen, self.slots, self.state.statistics.n_values)

    def decided(self, answers: Float64, proba: Float64, n_known: Int64 | None = None) -> Float64:
        """Return the slots that the decision chooses; without one, `answers`.

        answers: (n,): slots of the most probable classes
        proba, n_known: as `chosen` takes them
        """
        if self.decision is None or self.state is None:
            return answers
        return self.chosen(proba, n_known).astype(np.float64)

    def chosen(self, proba: Float64, n_known: Int64 | None = None) -> Int64:
        """Return the slot of the class that follows from probabilities, (n,); -1 before any.

        proba: (n, at least n classes): probabilities
        n_known: (n,): number of classes known at each row; None for that of now
        """
        if n_known is None:
            n = 0 if self.state is None else int(self.state.counts.n_classes)
            n_known = np.full(len(proba), n)
        decision = self.decision or Decision({}, {})
        return decision.slots(proba, self.classes, n_known)

    def known_before(self, slots: Int64) -> Int64:
        """Return how many classes are known before each of the rows to learn, (n,)."""
        n_known = 0 if self.state is None else int(self.state.counts.n_classes)
        return np.maximum.accumulate(np.concatenate([[n_known], slots + 1]))[:-1]

    def _with_categories(self, x: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        """Return a row with numbers of categorical features as texts."""
        if not self.categorical or self.categorical.isdisjoint(x):
            return x
        return {name: spelled(v) if name in self.categorical else v for name, v in x.items()}

    def place_row(self, x: Mapping[Hashable, Any]) -> None:
        """Write a row to predict into `row`; what has no slot is left out."""
        x = self._with_categories(x)
        if not self.slots.fill(x, self.row[0]) and not self.slots.knows_any(x):
            self.warnings.warn_unknown(x, self.slots.index)

    def predict_row(
        self,
        x: Mapping[Hashable, Any],
        times: Float64,
        in_stream: bool | None = True,
        proba: Float64 = NO_PROBA,
    ) -> Float64:
        """Return the answers to one row by name; those of `no_answers` before the first one.

        They are slots, -1 for none, or values, and are overwritten by the next call.
        """
        if type(x) is not dict:
            require_mapping(x)
        mode = step.PREDICT + check_mode(in_stream)
        if self.state is None:
            return self.no_answers(1)
        self.place_row(x)
        answers = self._run_one(mode, None, times, proba)
        if self.decision is None or self.scratch is None:
            return answers
        return self.decided(answers, self.scratch.answer[None, :])

    # Tables

    def named(self, given: Table, features: Names) -> tuple[Table, Sequence[Hashable]]:
        """Return rows with numbers of categorical features as texts, and the names of the columns.

        Raises `InputError` as `_names` does.
        """
        names = self._names(given, features)
        if given.categories and features is None:
            self.warnings.suspect_names(given.categories)
        return with_categories(given, names, self.categorical), names

    def _names(self, given: Table, features: Names) -> Sequence[Hashable]:
        """Return the name of each column; unnamed columns are the slots in order.

        Raises `InputError` if there are no names, and the width is not the model's.
        """
        width = given.numbers.shape[1]
        features = given.names if features is None else features
        in_order = self._in_order[0]
        if features is in_order and len(in_order) == width:
            return in_order
        if features is not None:
            return column_names(features, width)
        known = len(self.slots.index)
        if known == 0:
            return range(width)
        if width != known:
            raise InputError(
                f"`X` must have {counted(known, 'column')} (one per feature of the model), "
                f"got {width}; pass `features=` to name the columns"
            )
        return list(self.slots.index)

    def placed(self, given: Float64, names: Sequence[Hashable]) -> Float64:
        """Return rows in slot order, (n, feature capacity), NaN where a feature has no column."""
        capacity = self.row.shape[1]
        if (names, capacity) == self._in_order:
            return given
        columns = [self.slots.index.get(name, -1) for name in names]
        if columns == list(range(capacity)):
            self._in_order = names, capacity
            return given
        rows = np.full((given.shape[0], capacity), np.nan)
        for j, slot in enumerate(columns):
            if slot >= 0:
                rows[:, slot] = given[:, j]
        return rows

    def rows_of(self, given: Table, names: Sequence[Hashable]) -> Float64:
        """Return all rows of a table in slot order, 1 at the slots of their texts."""
        columns = text_columns(names, given.texts)
        return self.with_texts(given, names, columns, slice(0, len(given.numbers)))

    def with_texts(
        self, given: Table, names: Sequence[Hashable], columns: Sequence[TextColumn], part: slice
    ) -> Float64:
        """Return a part of the rows in slot order, 1 at the slots of their texts."""
        rows = self.placed(given.numbers[part], names)
        for column in columns:
            column.mark(rows, part.start, self.slots.categories)
        return rows

    # Copies and files

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            kept = {
                **self.__dict__,
                "scratch": None,
                "_args": None,
                "_one": None,
                "_in_order": ((), -1),
                "row": None,
                "slots": self.slots.copy(),
                "warnings": self.warnings.copy(),
                "classes": self.classes.copy(),
                "class_slots": self.class_slots.copy(),
                "state": None if self.state is None else copies(self.state),
                "sequence_readouts": deepcopy(self.sequence_readouts),
            }
        del kept["lock"]
        del kept["learned_tickets"]
        del kept["n_threads"]
        del kept["n_threads_used"]
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        arrays = kept.pop("state")
        self.__dict__.update(kept, state=None)
        self.lock = fork_safe_lock()
        self._one = OneRow.make()
        self.learned_tickets = WeakSet()
        self.n_threads = 1
        self.n_threads_used = 1
        self.row = np.zeros((1, 0))
        if self.settings is not None and arrays is not None:
            self.adopt(self.settings, build(State, lambda spec: realigned(arrays[spec.name])))

    def export(self, kind: str) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays, which `restore` continues from."""
        with self.lock:
            shared = self.slots.categories.shared
            config: Config = {
                "kind": kind,
                "parameters": self.options.to_dict(),
                "features": list(self.slots.index),
                "texts": [list(entry) for entry in self.slots.categories],
                "shared": {name: shared[name] for name in self.slots.index if name in shared},
                "classes": list(self.classes),
                "width": self.width,
                "early_texts": self.early_texts,
                "sequence": self.sequence,
            }
            arrays = to_save(self.state)
            own = sequence_readout.arrays_of(self.sequence_readouts)
            arrays |= {f"{_READOUT}{name}": array for name, array in own.items()}
            return config, arrays

    def restore(self, config: Mapping[str, Any], arrays: SavedArrays) -> None:
        """Continue from what `export` returned; this model must be fresh.

        Raises `CheckpointError` if a part is missing or does not fit the rest.
        """
        with restoring(f"this saved {config.get('kind', 'model')}"):
            self.origin = None
            names = check_names("features", config["features"])
            texts = Categories.restored(self.options.categories, config["texts"], config["shared"])
            self.slots = FeatureSlots.restored(names, texts)
            self.classes = self._check_classes(config["classes"])
            self.class_slots = {label: slot for slot, label in enumerate(self.classes)}
            sequence = config["sequence"]
            self.sequence = (
                None if sequence is None else hashable_value(sequence, "sequence", "name")
            )
            # files of 0.2 have no such key: their readouts learn as if there were no early texts
            self.early_texts = check_flag("early_texts", config.get("early_texts", False))
            if config["width"] is not None:
                settings = self._resolve(check_width(config["width"], len(names)))
                state = self._restored_state(settings, self._without_readouts(settings, arrays))
                check_state(settings, state, len(self.slots), len(self.classes))
                self.adopt(settings, state)
                self._check_answers()
            if self.n_seen >= self.warnings.due:  # judged before the model was saved
                self.warnings = DataWarnings(takes_texts=self.takes_texts)

    def _without_readouts(self, settings: Settings, arrays: SavedArrays) -> dict[str, Array]:
        """Restore the readouts of sequences; return the arrays that are not their own.

        Raises `ValueError` if they do not fit the model.
        """
        own: dict[str, Array] = {}
        others: dict[str, Array] = {}
        for name, array in arrays.items():
            if name.startswith(_READOUT) and not self.regression:
                own[name.removeprefix(_READOUT)] = array
            else:
                others[name] = array
        n_traces = sequences.n_summarised(settings)
        self.sequence_readouts = sequence_readout.restored(own, n_traces, len(self.classes))
        return others

    def _check_answers(self) -> None:
        """Raise ValueError if a model from a file answers with what is no number."""
        if not self.classes and not self.regression:
            return
        means = self.model.state.statistics.mean
        for row in (np.zeros_like(means), means.copy()):
            proba = np.zeros((1, 0 if self.regression else len(self.classes)))
            answers = self.run(row[None, :], learns=False, proba=proba)
            if not (np.isfinite(answers).all() and np.isfinite(proba).all()):
                raise ValueError("its answer must be a number")

    def _check_classes(self, classes: Any) -> list[Hashable]:
        if self.regression and classes:
            raise ValueError(f"`classes` must be empty in a regressor, got {shown(classes)}")
        return [hashable_value(label, "classes") for label in check_names("classes", classes)]

    def _restored_state(self, settings: Settings, arrays: SavedArrays) -> State:
        return unflatten(self.layout, settings, arrays)


def check_mode(in_stream: bool | None) -> int:
    """Return the bits of a step that predicts rows of a kind; refuse another kind."""
    try:
        return _KINDS[in_stream]
    except (KeyError, TypeError):
        raise InputError(f"`in_stream` must be True, False or None, got {in_stream!r}") from None

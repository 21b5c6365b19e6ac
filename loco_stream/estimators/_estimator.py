"""What all estimators share.

One model core, and the public methods that do not depend on the task.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from river import base

from loco_stream._arrays import Array, Float32, Float64, Int32, Int64
from loco_stream._checks import plain_values
from loco_stream._learner.settings import check_neuron
from loco_stream._options import PRESETS, AdvancedOptions, ModelOptions
from loco_stream._persistence.content import Arrays, Config, SavedArrays, State, restoring
from loco_stream.errors import ConfigError
from loco_stream.estimators import _export as export
from loco_stream.estimators import _observed, _sequences, _show
from loco_stream.estimators._array_rows import learn_table, predict_table
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._explain import api as explain
from loco_stream.estimators._explain.result import Explanation
from loco_stream.estimators._inputs.frames import require_frame, series_like
from loco_stream.estimators._inputs.slots import hashable_value, require_mapping
from loco_stream.estimators._inputs.tables import (
    Names,
    SequenceIds,
    TimeLike,
    TimesLike,
    held_rows,
    one_per_row,
    table,
)
from loco_stream.estimators._observed import learn_ticket
from loco_stream.estimators._parameters import LOCOModel, check_advanced, check_settable
from loco_stream.estimators._tickets import Ticket

if TYPE_CHECKING:
    from loco_stream._simulator.network import Network

_PREDICTION = "prediction"  # name of a series, where series need one


class LOCOEstimator(LOCOModel, base.Estimator):
    """Base class of the estimators.

    Several threads may use a model: it has one lock, so its methods run one after the other, and a
    block of rows is one call. `copy`, `pickle`, `save` and checkpoints see the state between two
    calls; a copy shares nothing with its model. Constructor parameters are fixed.
    """

    _regression = False
    _core: ModelCore
    advanced: AdvancedOptions
    _details: Callable[[], int]

    def _construct(self, given: dict[str, Any]) -> None:
        """Check the parameters of the constructor and make a fresh model."""
        given = {name: plain_values(given[name]) for name in self._parameters}
        options = {name: value for name, value in given.items() if name != "advanced"}
        checked = ModelOptions(**options, advanced=check_advanced(given["advanced"]))
        check_neuron(checked)
        if self._regression and checked.centroids:
            raise ConfigError(
                f"`centroids` must be None or 0 in a regressor, got {checked.centroids!r}"
            )
        self.__dict__.update(given, advanced=checked.advanced)
        self._core = self._make_core(checked)

    def _make_core(self, options: ModelOptions) -> ModelCore:
        return ModelCore(options, regression=self._regression)

    @classmethod
    def preset(cls, name: str, seed: int | None = None) -> Self:
        """Return a model set up for a purpose.

        Parameters
        ----------
        name
            ``"fast"``: 64 hidden neurons. ``"default"``: no options set. ``"accurate"``: 256 hidden
            neurons and ``neighbors=5000``, which keeps raw rows; a row takes more than twice as
            long.
        seed
            Seed of all random numbers.

        Raises
        ------
        ConfigError
            There is no such preset.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> LOCOClassifier.preset("fast").hidden_sizes
        (64,)
        """
        own = [each for each, options in PRESETS.items() if options.keys() <= {*cls._parameters}]
        if name not in own:
            allowed = ", ".join(map(repr, own))
            raise ConfigError(f"`name` must be one of the presets {allowed}, got {name!r}")
        return cls(**PRESETS[name], seed=seed)

    # scikit-learn

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor by name, as scikit-learn does.

        Parameters
        ----------
        deep
            Whether the advanced options are included too, as ``advanced__NAME``.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> LOCOClassifier(seed=3).get_params()["seed"]
        3
        """
        params = {name: getattr(self, name) for name in self._parameters}
        if deep:
            advanced = {f"advanced__{f.name}": f for f in fields(AdvancedOptions)}
            params |= {name: getattr(self.advanced, f.name) for name, f in advanced.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change parameters of a model that has learned nothing; return the model.

        Parameters
        ----------
        **params
            By name, those of `advanced` as ``advanced__NAME``.

        Raises
        ------
        ConfigError
            The model has learned rows, a parameter does not exist, or a value is out of range.

        Examples
        --------
        >>> from loco_stream import LOCORegressor
        >>> model = LOCORegressor().set_params(seed=3, advanced__window=10.0)
        >>> model.seed, model.advanced.window
        (3, 10.0)
        """
        check_settable(self, params)
        given = {name: params.get(name, getattr(self, name)) for name in self._parameters}
        advanced = {
            name.removeprefix("advanced__"): value
            for name, value in params.items()
            if name.startswith("advanced__")
        }
        if advanced:
            given["advanced"] = replace(check_advanced(given["advanced"]), **advanced)
        self._construct(given)
        return self

    # Rows

    def learn_one(self, x: dict[Any, Any] | Ticket, y: Any, t: TimeLike = None) -> None:
        """Learn one row; new features, and a new class or target, get the next free slots.

        Parameters
        ----------
        x
            The row, or the `Ticket` that `observe_one` returned for it.
        y
            Its label; a number in a regression; with several targets, the number of each by name,
            where missing ones are absent, None or NaN.
        t
            Its time: a number in any unit, or a date, which counts in seconds; None: one gap after
            the last row. It matters only with `memory`; a ticket has its own.

        Raises
        ------
        InputError
            x is not a mapping, t is not a time, or the ticket is another model's; or y is not a
            label, a finite number of at most 1e30, or a dict with at least one such number.
        """
        core = self._core
        if isinstance(x, Ticket):
            learn_ticket(core, x, y)
            return
        if type(x) is not dict:
            require_mapping(x)
        labels, value = core.read_target(y)
        times = core.time_of(t)
        with core.lock:
            core.learn_row(x, labels, value, times)

    def learn_array(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
    ) -> None:
        """Learn rows in order in one compiled loop, bit-identical to `learn_one` row by row.

        Parameters
        ----------
        X
            (n, n_features) numbers; NaN is missing.
        y
            n labels, or numbers in a regression: a one-dimensional array or series, or anything
            else that yields n values.
        features
            Names of the columns; None: the slots in order (0, 1, ... in a fresh model).
        t
            Time of each row, NaN where missing; None: one gap between two rows. It matters only
            with `memory`.
        sequence
            Id of the sequence that each row belongs to: where it changes, the memory is reset.

        Raises
        ------
        InputError
            X is not two-dimensional, its width is not the model's, y is not one-dimensional or has
            another length, or `learn_one` would refuse a value of y. Nothing is learned then.
        """
        self._learn_rows(X, y, features, t, sequence, predict_first=False)

    def learn_predict_array(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
        held_out: Iterable[int] = (),
    ) -> Array:
        """Test, then train on each row; return the labels or values predicted before, (n,).

        Other parameters are those of `learn_array`.

        Parameters
        ----------
        held_out
            Positions of rows that are predicted and observed, but not learned; a label of such a
            row is not read.

        Raises
        ------
        InputError
            As for `learn_array`, or `held_out` has a position without a row.
        """
        answers, _ = self._learn_rows(
            X, y, features, t, sequence, predict_first=True, held_out=held_out
        )
        return self._shown(answers)

    def predict_array(
        self,
        X: ArrayLike,
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
        in_stream: bool | None = None,
    ) -> Array:
        """Return the predicted label or value of each row, (n,), or of each target, (n, n_targets).

        Parameters are those of `learn_array`, and `in_stream` of `predict_one`.
        """
        return self._shown(self._predict_rows(X, features, t, sequence, in_stream)[0])

    def _shown(self, answers: Float64) -> Array:
        """Return answers as users see them."""
        return answers

    def _learn_rows(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Names,
        t: TimesLike,
        sequence: SequenceIds,
        *,
        predict_first: bool,
        in_detail: bool = False,
        held_out: Iterable[int] = (),
    ) -> tuple[Float64, Float64]:
        """Return answers, (n,), and if wanted the details that `_predict_rows` has."""
        core = self._core
        given = table(X)
        n = len(given.numbers)
        held = held_rows(held_out, n)
        with core.lock:
            given, names = core.named(given, features)
            times, last = core.times_of(t, sequence, n)
            if n == 0:
                one_per_row(y, 0)
                return core.no_answers(0), np.zeros((0, self._details()))
            n_slots = len(core.slots)
            known = core.targets_of(given, names, y, held)
            decides = predict_first and core.decision is not None
            details = np.zeros((n if in_detail or decides else 0, self._details()))
            core.sequence = last
            n_known = core.known_before(known[0]) if decides else None
            answers = learn_table(core, given, names, known, predict_first, times, details, n_slots)
            core.warn_of_columns()
            return core.decided(answers, details, n_known) if decides else answers, details

    def _predict_rows(
        self,
        X: ArrayLike,
        features: Names,
        t: TimesLike,
        sequence: SequenceIds,
        in_stream: bool | None,
    ) -> tuple[Float64, Float64]:
        """Return answers, (n,) or (n, targets), and details of each, (n, `_details()`).

        Details are probabilities by class, or half widths of intervals by target and coverage.
        """
        core = self._core
        given = table(X)
        with core.lock:
            times, _ = core.times_of(t, sequence, len(given.numbers))
            return predict_table(core, given, features, times, self._details(), in_stream)

    # Frames

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the rows of a frame in order; bit-identical to `learn_one` row by row.

        Parameters
        ----------
        X
            A frame of pandas, polars, pyarrow, or another library that narwhals knows. Texts are
            categories, dates and times seconds since 1970 UTC, nulls missing values.
        y
            Labels or values, one per row: a series or column of any library.

        Raises
        ------
        InputError
            X is not a frame, or as for `learn_array`.
        """
        require_frame(X)
        self.learn_array(X, y)

    def learn_predict_many(self, X: Any, y: Any) -> Any:
        """Test, then train on each row of a frame; return the predictions as `predict_many`."""
        frame = require_frame(X)
        answers = self.learn_predict_array(X, y)
        return series_like(frame, answers, _PREDICTION, self._core.classes)

    def predict_many(self, X: Any, in_stream: bool | None = None) -> Any:
        """Return the prediction for each row of a frame, as a series of the frame's library.

        A series of pandas has the index of the frame. Before any class is known, all are null. In
        other libraries, labels of several types are texts. `in_stream` is that of `predict_one`.
        """
        frame = require_frame(X)
        answers = self.predict_array(X, in_stream=in_stream)
        return series_like(frame, answers, _PREDICTION, self._core.classes)

    # Attributes

    @property
    def n_features_in(self) -> int:
        """Number of features that have a slot; their texts do not count."""
        return len(self._core.slots.index)

    @property
    def features(self) -> tuple[Hashable, ...]:
        """Names of the features, in the order of their slots."""
        return tuple(self._core.slots.index)

    @property
    def categories_(self) -> dict[Hashable, dict[str, int]]:
        """Texts of each feature that has some.

        ``distinct``: texts with a slot; ``bound``: most that may have one, as long as the model
        holds fewer than 1024; ``shared``: learned values of texts without a slot of their own.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(categories=2)
        >>> for city in ("Rome", "Oslo", "Lima"):
        ...     model.learn_one({"city": city}, "yes")
        >>> model.categories_
        {'city': {'distinct': 2, 'bound': 2, 'shared': 1}}
        """
        with self._core.lock:
            return self._core.slots.categories.report()

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of neurons of each hidden layer."""
        return self._core.layout.hidden_sizes

    @property
    def skipped_updates(self) -> int:
        """Number of learning steps refused because a number in them was not finite."""
        state = self._core.state
        return 0 if state is None else int(state.counts.n_skipped)

    @property
    def masked_values(self) -> int:
        """Number of learned values that were missing, infinite, or neither number nor category."""
        state = self._core.state
        return 0 if state is None else int(state.counts.n_masked)

    @property
    def fillers(self) -> dict[Hashable, int]:
        """Number of fill values per feature, such as -9999, that were treated as missing.

        A fill value is far from all other values of the feature. Features without any are omitted.

        Examples
        --------
        >>> from loco_stream import LOCORegressor
        >>> model = LOCORegressor(seed=0)
        >>> for i in range(80):
        ...     model.learn_one({"level": -9999.0 if i % 10 == 9 else i % 7 / 10}, 0.5)
        >>> model.fillers
        {'level': 5}
        """
        state = self._core.state
        if state is None:
            return {}
        counts = state.scale_guard.n_fillers
        slots = self._core.slots.index.items()
        return {name: int(counts[slot]) for name, slot in slots if counts[slot]}

    @property
    def backward_times(self) -> int:
        """Number of rows whose time lay before that of the previous row.

        Each was treated as one gap later than the previous row.
        """
        state = self._core.state
        return 0 if state is None else int(state.context.clock.n_backward)

    @property
    def spike_counts_(self) -> Int64:
        """Spikes of each hidden layer in the last forward pass, (n_layers,)."""
        return _show.spike_counts(self._core)

    @property
    def last_spikes_(self) -> tuple[Float32, Int32]:
        """Times (ms) and neurons of the last hidden layer's spikes on the last row."""
        return _show.last_spikes(self._core)

    @property
    def mixture_(self) -> dict[str, float]:
        """Weight of each part of the readout by its name; empty for the delta rule.

        Classification: the probability of each part given recent labels; they sum to 1: ``"stack"``
        and ``"least-squares stack"``, the members by their leak (``"leak ..."``, and on the
        features alone ``"linear, leak ..."``), ``"linear logistic"``, ``"naive Bayes"``, and
        further experts where they are enabled. Regression: the weight of each member in the stack.
        """
        return _show.mixture(self._core)

    # Rows in time

    def reserve(self, features: Iterable[Hashable]) -> None:
        """Assign slots to features before the first row; copies of such a model start faster.

        Parameters
        ----------
        features
            Names of the first row's columns. The model is bit-identical to one that met them in its
            first row.
        """
        with self._core.lock:
            self._core.admit(tuple(features))

    def reset_context(self) -> None:
        """Reset the memory: the next row does not depend on earlier ones."""
        with self._core.lock:
            _observed.reset_context(self._core)

    def enter_sequence(self, sequence: Hashable) -> None:
        """Reset the memory unless the next row belongs to the same sequence as the last one.

        Parameters
        ----------
        sequence
            Id of the sequence that the next row belongs to, any hashable value but None and NaN.
            Array methods take one per row as `sequence=`.

        Raises
        ------
        InputError
            `sequence` is not hashable, None or NaN.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=16, memory=(0.3, 50.0))
        >>> for run, level in [("a", 0.1), ("a", 0.2), ("b", 0.9)]:
        ...     model.enter_sequence(run)
        ...     model.learn_one({"level": level}, level > 0.5)
        """
        name = hashable_value(sequence, "sequence", "name")
        with self._core.lock:
            if name != self._core.sequence:
                _observed.reset_context(self._core)
                self._core.sequence = name

    def observe_one(self, x: Mapping[Any, Any], t: TimeLike = None) -> Ticket:
        """Process a row whose label comes later or never; the next row then follows it.

        Parameters
        ----------
        x
            The row. New features in it get no slot until a row with them is learned.
        t
            Its time, as in `learn_one`.

        Returns
        -------
        Ticket
            What was predicted for the row; pass it to `learn_one` in place of the row when the
            label has come.

        Raises
        ------
        InputError
            x is not a mapping, or t is not a time.
        """
        return _observed.observe_one(self._core, x, t)

    def observe_array(
        self,
        X: ArrayLike,
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
    ) -> list[Ticket]:
        """Process rows in order as `observe_one` does; see `learn_array` for the parameters.

        Raises
        ------
        InputError
            As `predict_array` does.
        """
        return _observed.observe_array(self._core, X, features, t, sequence)

    def learn_sequence(
        self,
        X: ArrayLike,
        y: Any,
        t: TimesLike = None,
        features: Names = None,
    ) -> None:
        """Learn one sequence: rows that share one label.

        All rows are predicted before the first is learned, so that no part of the readout gains
        weight for having just seen the sequence. The readout learns from every row; the hidden
        layers take one step per label, divided equally among the rows. The memory is reset first.

        Parameters
        ----------
        X
            (n, n_features) numbers, the rows in order; at least one.
        y
            Label or value of the sequence.
        t
            Time of each row, as in `learn_array`.
        features
            Names of the columns, as in `learn_array`.

        Raises
        ------
        InputError
            X has no rows or is not two-dimensional, y cannot be a label, or t is not one number per
            row.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=16, memory=(0.3, 50.0))
        >>> for _ in range(10):
        ...     model.learn_sequence([[0.0], [1.0], [2.0]], "rises")
        ...     model.learn_sequence([[2.0], [1.0], [0.0]], "falls")
        >>> model.predict_sequence([[0.1], [0.9], [2.1]])
        'rises'
        """
        _sequences.learn(self._core, X, y, t, features)

    # Explanation and export

    def explain_one(
        self, x: Mapping[Any, Any], t: TimeLike = None, in_stream: bool | None = None
    ) -> Explanation:
        """Explain the prediction for a row: what each feature adds, and which experts decide.

        The readouts are linear in the traces of the hidden neurons and in the features, so their
        score is decomposed exactly; what a neuron adds goes to the features by their shares of its
        drive (layer-wise relevance propagation, Bach et al. 2015). Each expert counts by its
        weight. Naive Bayes is a sum over features; what the nearest centroids and kept rows add is
        reported separately. Recalled earlier models and recent values are not decomposed;
        `explained` is the share of the prediction that is. `next_row` has the weights of all parts
        of the prediction. The model does not change.

        Parameters
        ----------
        x
            The row.
        t
            Its time, as in `predict_one`.
        in_stream
            As in `predict_one`.

        Raises
        ------
        InputError
            x is not a mapping, or nothing has been learned.

        Examples
        --------
        >>> from loco_stream import LOCORegressor
        >>> model = LOCORegressor(hidden_sizes=(8,), seed=1)
        >>> for i in range(200):
        ...     model.learn_one({"load": i % 10, "noise": i % 7}, 3.0 * (i % 10))
        >>> why = model.explain_one({"load": 9, "noise": 3})
        >>> list(why.features)[0], why.features["load"] > 8.0
        ('load', True)
        """
        return explain.explain_row(self._core, x, t, in_stream)

    @overload
    def explain(self, X: Mapping[Any, Any], features: Names = None) -> Explanation: ...
    @overload
    def explain(self, X: ArrayLike, features: Names = None) -> list[Explanation]: ...

    def explain(self, X: Any, features: Names = None) -> Explanation | list[Explanation]:
        """Explain the prediction for each row of an array or frame, or for one row by name.

        Parameters
        ----------
        X
            One mapping, or rows as `predict_array` takes them.
        features
            Names of the columns; those of a frame are known.

        Raises
        ------
        InputError
            As `explain_one` and `predict_array` do.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        >>> X = [[i % 10, i % 7] for i in range(200)]
        >>> model.learn_array(X, [load > 4 for load, _ in X])
        >>> [why.prediction for why in model.explain([[9, 3], [0, 3]])]
        [True, False]
        """
        if isinstance(X, Mapping):
            return self.explain_one(X)
        given = table(X)
        with self._core.lock:
            given, columns = self._core.named(given, features)
            names = tuple(columns)
            return [self.explain_one(row) for row in _observed.rows_by_name(given, names)]

    @property
    def feature_importances_(self) -> dict[Hashable, float]:
        """Share of each feature in the predictions; they sum to 1. Empty before the first row.

        The share is the mean change of the prediction when the feature's value is removed, over a
        few dozen rows drawn from each feature's mean and standard deviation. No row of the stream
        is kept for this, so correlated features are treated as independent.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        >>> for i in range(200):
        ...     model.learn_one({"load": i % 10, "noise": i % 7}, i % 10 > 4)
        >>> shares = model.feature_importances_
        >>> shares["load"] > shares["noise"], round(sum(shares.values()), 6)
        (True, 1.0)
        """
        with self._core.lock:
            return explain.importances(self._core)

    def to_network(self, layer: int | None = None) -> Network:
        """Return a hidden layer as it is now: a `Network` driven by the currents of `encode_array`.

        Its neurons fire when the model's do; the model keeps the first 20 spikes of a neuron in a
        window. Use `Network.run_clocked` if the model has a `dt`, otherwise `Network.run`. The
        model itself is unchanged. With ``readout="delta"`` on traces alone (``readout_layers``
        "hidden" or "last") the network has the readout too.

        Parameters
        ----------
        layer
            Number of the hidden layer, from 0; None if there is only one. The inputs of a later
            layer are the traces of the layer before.

        Raises
        ------
        ConfigError
            The neurons are not ``"lif"``, `memory` is set, or there are several layers and none was
            chosen.
        InputError
            The model has seen no row, from which its width follows.

        Examples
        --------
        >>> from loco_stream import AdvancedOptions, LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=4, seed=1, advanced=AdvancedOptions(reset="zero"))
        >>> model.learn_array([[0.0, 1.0], [1.0, 0.0]], ["left", "right"])
        >>> net = model.to_network()
        >>> net
        Network(18-4, neuron='lif', dtype=float64)
        >>> record = net.run([], [], duration=20.0, currents=model.encode_array([[0.0, 1.0]])[0])
        """
        return export.to_network(self._core, layer)

    def encode_array(self, X: ArrayLike, features: Names = None) -> Float32:
        """Return the input currents of each row, (n, channels), each from 0 to 1.

        The running statistics of the features do not change.

        Raises
        ------
        InputError
            X does not fit the model, or the model has seen no row.
        """
        return export.encode_array(self._core, X, features)

    # Files

    def export_state(self) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays: `from_state` continues bit-identically."""
        return self._core.export(type(self).__name__)

    @classmethod
    def from_state(cls, config: State, arrays: SavedArrays) -> Self:
        """Make the model that `export_state` described.

        Raises
        ------
        CheckpointError
            A part is missing or does not fit the rest.
        """
        model = cls._from_parameters(config)
        model._core.restore(config, arrays)
        return model

    @classmethod
    def _from_parameters(cls, config: State) -> Self:
        with restoring(f"this saved {cls.__name__}"):
            parameters = dict(config["parameters"])
            given = {name: parameters[name] for name in cls._parameters if name != "advanced"}
            return cls(**given, advanced=AdvancedOptions(**parameters["advanced"]))

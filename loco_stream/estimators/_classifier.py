"""The classifier."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from river import base

from loco_stream import _checks
from loco_stream._arrays import Array, Float64, Int64
from loco_stream._learner.readout.snapshots import CURRENT, FIRST
from loco_stream._numbers import shown
from loco_stream._options import DEFAULTS, THREADS, AdvancedOptions
from loco_stream._persistence.content import Arrays, Config, SavedArrays, State, restoring
from loco_stream._text import counted, did_you_mean
from loco_stream.errors import InputError
from loco_stream.estimators import _sequences
from loco_stream.estimators._decision import Costs, Decision, Rule, labels_of
from loco_stream.estimators._estimator import LOCOEstimator
from loco_stream.estimators._inputs.data_warnings import warn_of_labels
from loco_stream.estimators._inputs.frames import frame_like, require_frame
from loco_stream.estimators._inputs.tables import (
    Names,
    SequenceIds,
    TimeLike,
    TimesLike,
)
from loco_stream.estimators._parameters import explains_parameters, parameter_names


class LOCOClassifier(LOCOEstimator, base.MiniBatchClassifier):
    """Spiking network that learns a classification stream row by row and forgets little.

    Each row is standardised and encoded as constant input currents. The currents drive event-driven
    spiking layers for one integration window, and each neuron's spikes leave a synaptic trace.
    Recursive least-squares readouts with different forgetting rates predict from the traces.
    Learned weights (the stacks) and a Bayesian mixture combine these and other experts into class
    probabilities. A separate layer of random spiking neurons never learns. A linear discriminant on
    it and on the features retains every class and predicts dormant ones, which have not occurred
    recently (see `predict_one`).

    Hidden layers learn by low-rank cluster-orthogonal weight modification (LOCO, Ma & Yu 2026): the
    weight update from local credit is projected orthogonally to earlier inputs. Learning uses
    forward passes only, and it needs no task labels. A missing or infinite value is masked: it
    contributes no current and is counted in `masked_values`. Texts are categories (see
    `categories`).

    No row is stored to be learned again. Unless `neighbors` is set, the model keeps only the last
    32 values of each feature, which set its scale, and up to three scaled rows (fifteen with more
    than 256 features) that the discriminant has not learned yet.

    Parameters
    ----------
    hidden_sizes
        Neurons of each hidden layer, 1 to 64 layers; a number alone is one layer. None: chosen by
        the number of features of the first row. Fewer neurons are faster, more are more accurate
        on rows of many features; several layers cost accuracy on most tabular streams.
    rule
        ``"loco"``: projected learning. ``"np"``: the same without projection, and with
        ``credit="perturbation"`` plain node perturbation. ``"frozen"``: hidden layers keep their
        start weights. Change it to measure what learned layers are worth on your data.
    learning_rate
        Step of the hidden layers relative to the mean square of a layer's input, 0 to 1e6. None:
        the value measured to be best for the credit rule, which is 300 for mirror, and 900 for
        learned and perturbation; both are divided by 30 without the recursive projector. Plain node
        perturbation uses 0.1. Accuracy changes little between half and twice the default.
    class_weight
        Cost of a mistake on a class relative to the others. It acts on the prediction only: the
        probability of each class is multiplied by its weight and all are normalised again (Elkan
        2001), so that `predict_one` returns the class of the least expected cost. None: all 1, and
        the probabilities are calibrated. A dict: labels and weights, 1 for a label that is not in
        it. ``"balanced"``: the number of rows divided by the number of classes and by the rows of
        the class, as counted so far. `set_class_weight` changes it.
    retention
        Weight of earlier knowledge against recent rows, 0 to 1. With ``in_stream=None``, a higher
        value lets a dormant class be predicted on weaker evidence. Above 0, snapshots of
        earlier models are kept and used again when their concept returns. 0: the model only adapts.
        Lower it if classes that vanish never return.
    memory
        Shortest and longest time constant of the traces that persist across rows, for every second
        hidden neuron, in median gaps between rows; (0.3, 50) suits most sensors. The fixed layer
        then sees fading means over about 1, 5 and 10 rows, whatever the two numbers are. None:
        every row starts from traces of zero. Set it when a label depends on earlier rows.
    max_delay
        Longest delay of a synapse of the first layer, in rows, 0 to 256. Each synapse has a fixed
        delay, drawn from 0 to this, and learns its weight, so that a neuron can combine features of
        several rows. Within consecutive rows of one class, the hidden layers then take smaller
        steps with each further row. Set it when a label depends on the values of particular earlier
        rows.
    neighbors
        Number of recent rows that are kept with their labels for nearest-neighbor predictions, 0 to
        1,000,000. The 7 nearest rows, the 3 nearest, and the 7 nearest of the most recent fifth are
        three further outputs in the stack. Set it where a class fills several separate regions
        (digits, moving clusters). With this option the model, its files and its checkpoints hold
        rows with their labels, which anyone with the file can read. The time per row grows with
        their number. Each stored value takes 4 bytes of RAM.
    centroids
        Number of centroids in feature space, 0 to 100,000. Each moves towards the rows near it and
        counts their classes; the 3 and the 7 nearest are two further outputs in the stack. They
        help where a class fills several separate regions. The time of a row grows with their
        number. A centroid is an average of rows, but a reader of the model's file can recover much
        of single rows. None: 300, or 0 for rows of more than 256 features and where the readout
        sees no features.
    categories
        Maximum number of distinct texts per feature that get their own slot, 0 to 1024. Further
        texts share these slots by checksum; `categories_` reports how many did. All features
        together hold at most 1024, of which the last 256 are reserved for features with fewer than
        256 texts, and the last 64 for those with fewer than 16. A text takes 2 to 16 kB of the
        state, and more with many classes or wide rows. Lower the bound if a column of ids says
        nothing about the label. 0: texts are masked.
    neuron
        Name of a neuron model: ``"lif"`` (leaky integrate-and-fire), or another one of
        `loco_stream.neurons`, which describes them.
    seed
        Seed of all random numbers, 0 to 2**64 - 1; None is 0. Equal seeds and streams give
        bit-identical models.
    advanced
        Options that few users change; see `AdvancedOptions`.

    Raises
    ------
    ConfigError
        A parameter is out of its range.

    References
    ----------
    Ma & Yu 2026 (arXiv 2602.22259); Zeng, Chen, Cui & Yu 2019 (orthogonal weight modification);
    Kolen & Pollack 1994 (mirrored feedback); Lansdell, Prakash & Kording 2020 (feedback learned
    from perturbations); Elkan 2001 (The Foundations of Cost-Sensitive Learning).

    Examples
    --------
    >>> from river import datasets, metrics
    >>> from loco_stream import LOCOClassifier
    >>> model = LOCOClassifier(seed=1)
    >>> accuracy = metrics.Accuracy()
    >>> for x, y in datasets.Phishing():
    ...     accuracy.update(y, model.predict_one(x))
    ...     model.learn_one(x, y)
    >>> accuracy.get() > 0.9
    True
    """

    @explains_parameters
    def __init__(
        self,
        hidden_sizes: int | Sequence[int] | None = DEFAULTS.hidden_sizes,
        rule: str = DEFAULTS.rule,
        learning_rate: float | None = DEFAULTS.learning_rate,
        class_weight: str | Mapping[Hashable, float] | None = DEFAULTS.class_weight,
        retention: float = DEFAULTS.retention,
        memory: Sequence[float] | None = DEFAULTS.memory,
        max_delay: int = DEFAULTS.max_delay,
        *,
        neighbors: int = DEFAULTS.neighbors,
        centroids: int | None = DEFAULTS.centroids,
        categories: int = DEFAULTS.categories,
        neuron: str = DEFAULTS.neuron,
        seed: int | None = DEFAULTS.seed,
        advanced: AdvancedOptions | None = None,
    ) -> None:
        self._construct(locals())

    _parameters = parameter_names(__init__)
    _estimator_type = "classifier"

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def classes(self) -> tuple[Hashable, ...]:
        """The labels in order of first appearance; column j of a probability array is class j."""
        return tuple(self._core.classes)

    @property
    def recalled(self) -> tuple[int, int]:
        """Number of snapshots kept, and the number of the recalled one (0: none)."""
        with self._core.lock:
            if self._core.state is None:
                return 0, 0
            snapshots = self._core.state.snapshots
            n_kept = int(snapshots.counters["n_kept"])
            posterior = snapshots.posterior
            if posterior[CURRENT] >= 0.5:
                return n_kept, 0
            largest = int(posterior.argmax())
            in_use = largest >= FIRST and posterior[largest] > 0.5
            return n_kept, int(snapshots.ids[largest - FIRST]) if in_use else 0

    def set_class_weight(self, class_weight: str | Mapping[Hashable, float] | None) -> None:
        """Change the weights of the classes; what was learned is unchanged.

        A label that no row had yet is named in a warning, once there are classes.

        Parameters
        ----------
        class_weight
            As in the constructor.

        Raises
        ------
        ConfigError
            `class_weight` is none of the allowed values.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        >>> model.learn_array([[0.0], [1.0], [0.1], [0.9]], ["ok", "worn", "ok", "worn"])
        >>> before = model.predict_proba_one({0: 0.5})["worn"]
        >>> model.set_class_weight({"worn": 10.0})
        >>> model.predict_proba_one({0: 0.5})["worn"] > before
        True
        """
        core = self._core
        options = replace(core.options, class_weight=class_weight)
        with core.lock:
            core.change_options(options)
            self.__dict__["class_weight"] = class_weight
        if isinstance(class_weight, Mapping):
            warn_of_labels("class_weight", class_weight, core.class_slots)

    @property
    def n_threads(self) -> int:
        """Number of threads that may learn wide rows, as set by `set_threads`; 1 by default."""
        return self._core.n_threads

    @property
    def n_threads_used(self) -> int:
        """The largest number of threads that have learned rows together; 1 if none ever did."""
        return self._core.n_threads_used

    def set_threads(self, n_threads: int) -> None:
        """Learn wide rows with several threads; results are bit-identical for every number.

        By default, this applies to rows of more than 256 features, whose matrices are large enough
        to divide. Calls that learn fewer than 16 rows use one thread. Files and copies of the model
        do not keep the number.

        Parameters
        ----------
        n_threads
            1, 2 or 4. Raise it where processors are idle: no more threads are started than the
            process may use processors, and a waiting thread keeps its processor busy.

        Raises
        ------
        ConfigError
            `n_threads` is none of these numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from loco_stream import LOCOClassifier
        >>> rows, labels = np.eye(300), ["a", "b", "c"] * 100
        >>> one, two = LOCOClassifier(seed=1), LOCOClassifier(seed=1)
        >>> two.set_threads(2)
        >>> (one.learn_predict_array(rows, labels) == two.learn_predict_array(rows, labels)).all()
        np.True_
        """
        number = _checks.require("n_threads", n_threads, _number_of_threads)
        with self._core.lock:
            self._core.n_threads = number

    @property
    def decision(self) -> Rule | None:
        """What `set_decision` was called with: ``thresholds`` or ``costs``; None by default."""
        decision = self._core.decision
        return None if decision is None else decision.rule

    def set_decision(
        self,
        *,
        thresholds: Mapping[Hashable, float] | None = None,
        costs: Costs | None = None,
    ) -> None:
        """Choose predicted classes by thresholds or by costs; without either, the most probable.

        Probabilities, and what is learned, stay as they are. The rule is saved with the model. With
        a `class_weight` it works on the weighted probabilities. A label that no row had yet is
        named in a warning, once there are classes.

        Parameters
        ----------
        thresholds
            Probability, above 0 and up to 1, from which a label is predicted; of several such
            labels, the one whose probability is the largest multiple of its threshold. Where no
            threshold is reached, the most probable label without a threshold is predicted; if each
            label has one, the label that comes nearest to it.
        costs
            Cost, 0 to 1e9, of predicting a wrong label, by pair (true label, predicted label). The
            label of the least expected cost is predicted. A mistake that is not named costs 1, and
            a correct prediction 0.

        Raises
        ------
        ConfigError
            Both are given, or one has another form; the rule stays as it was.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        >>> model.learn_array([[0.0], [1.0]] * 50, ["ok", "worn"] * 50)
        >>> model.predict_one({0: 0.4})
        'ok'
        >>> model.set_decision(thresholds={"worn": 0.01})
        >>> model.predict_one({0: 0.4})
        'worn'
        >>> model.set_decision(costs={("ok", "worn"): 1000.0})
        >>> model.predict_one({0: 0.6})
        'ok'
        """
        decision = Decision.checked(thresholds, costs)
        with self._core.lock:
            self._core.decision = decision
        if decision is not None:
            option = "costs" if thresholds is None else "thresholds"
            warn_of_labels(option, labels_of(decision.rule), self._core.class_slots)

    def decide_array(self, proba: ArrayLike, n_known: Sequence[int] | None = None) -> Array:
        """Return the label that `set_decision` chooses for each row of probabilities, (n,).

        Parameters
        ----------
        proba
            (n, classes) probabilities, as `predict_proba_array` returns them.
        n_known
            Number of classes that were known at each row, 0 before the first; by default all.

        Raises
        ------
        InputError
            `proba` has another shape, or `n_known` is not one integer per row.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        >>> model.learn_array([[0.0], [1.0]], ["ok", "worn"])
        >>> model.set_decision(thresholds={"worn": 0.1})
        >>> model.decide_array([[0.8, 0.2], [0.95, 0.05]]).tolist()
        ['worn', 'ok']
        """
        table = np.asarray(proba, np.float64)
        with self._core.lock:
            n = len(self._core.classes)
            if table.ndim != 2 or table.shape[1] != n:
                raise InputError(f"`proba` must have the shape (n, {n}), got {table.shape}")
            known = None if n_known is None else _numbers_of_classes(n_known, len(table))
            return self._shown(self._core.chosen(table, known))

    def clone(
        self, new_params: dict[str, Any] | None = None, include_attributes: bool = False
    ) -> Self:
        """Return a model that has learned nothing, with the same parameters and decision.

        Parameters
        ----------
        new_params
            Parameters with other values, by name.
        include_attributes
            Whether what was learned is copied too.
        """
        model: Self = super().clone(new_params, include_attributes)
        model._core.decision = self._core.decision
        return model

    def export_state(self) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays: `from_state` continues bit-identically."""
        with self._core.lock:
            config, arrays = super().export_state()
            decision = self._core.decision
            plain = None if decision is None else decision.to_plain()
            return {**config, "decision": plain}, arrays

    @classmethod
    def from_state(cls, config: State, arrays: SavedArrays) -> Self:
        """Make the model that `export_state` described.

        Raises
        ------
        CheckpointError
            A part is missing or does not fit the rest.
        """
        model = super().from_state(config, arrays)
        with restoring(f"this saved {cls.__name__}"):
            model._core.decision = Decision.from_plain(config["decision"])
        return model

    def predict_one(
        self,
        x: dict[Any, Any],
        t: TimeLike = None,
        in_stream: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the most probable class; None before any is known. Changes nothing.

        Parameters
        ----------
        x
            The row.
        t
            Its time, as in `learn_one`.
        in_stream
            Which classes are likely a priori. True: the row is the next one of the stream, so
            recent labels are evidence and dormant classes, which have not occurred recently, are
            unlikely. False: the row may come from anywhere. Recent labels are no evidence, and
            dormant classes are judged by the features alone; present classes that are frequent stay
            more likely than rare ones. None: as True, unless the features point to a dormant class
            more clearly than rows of the present classes do; `retention` sets how clearly, and with
            0 None equals True. All `predict_*` methods take it.

        Raises
        ------
        InputError
            x is not a mapping, t is not a time, or `in_stream` is not one of these.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=8, seed=1)
        >>> model.learn_array([[float(i % 5)] for i in range(200)], ["low"] * 200)
        >>> model.learn_array([[5.0 + i % 5] for i in range(200)], ["high"] * 200)
        >>> [model.predict_one({0: 4.0}, in_stream=kind) for kind in (True, False)]
        ['high', 'low']
        """
        if kwargs:
            raise _unknown_keyword("predict_one", kwargs)
        core = self._core
        times = core.time_of(t)
        with core.lock:
            slot = int(core.predict_row(x, times, in_stream)[0])
            return core.classes[slot] if slot >= 0 else None

    def predict_proba_one(
        self,
        x: dict[Any, Any],
        t: TimeLike = None,
        in_stream: bool | None = None,
        **kwargs: Any,
    ) -> dict[Any, float]:
        """Return each class's probability; they sum to 1; empty before any class is known.

        Parameters are those of `predict_one`.
        """
        if kwargs:
            raise _unknown_keyword("predict_proba_one", kwargs)
        core = self._core
        times = core.time_of(t)
        with core.lock:
            if core.predict_row(x, times, in_stream)[0] < 0.0 or core.scratch is None:
                return {}
            return dict(zip(core.classes, core.scratch.answer.tolist(), strict=False))

    def learn_predict_proba_array(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
        held_out: Iterable[int] = (),
    ) -> Float64:
        """Test, then train on each row; return the probabilities before learning it, (n, classes).

        Column j is `classes[j]`. A class has probability 0 before its first row, so rows before the
        first label are all zeros. Parameters are those of `learn_predict_array`.
        """
        with self._core.lock:
            _, proba = self._learn_rows(
                X,
                y,
                features,
                t,
                sequence,
                predict_first=True,
                in_detail=True,
                held_out=held_out,
            )
            return proba[:, : len(self._core.classes)]

    def predict_proba_array(
        self,
        X: ArrayLike,
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
        in_stream: bool | None = None,
    ) -> Float64:
        """Return probabilities (n, classes); column j is `classes[j]`.

        Parameters are those of `predict_array`.
        """
        with self._core.lock:
            _, proba = self._predict_rows(X, features, t, sequence, in_stream)
            return proba[:, : len(self._core.classes)]

    def predict_sequence(
        self,
        X: ArrayLike,
        t: TimesLike = None,
        features: Names = None,
        in_stream: bool | None = None,
    ) -> Any:
        """Return the most probable label of the sequence with these rows.

        See `predict_proba_sequence`.
        """
        with self._core.lock:
            proba = self.predict_proba_sequence(X, t, features, in_stream)
            if not proba:
                return None
            (slot,) = self._core.chosen(np.array([list(proba.values())]))
            return self._core.classes[slot]

    def predict_proba_sequence(
        self,
        X: ArrayLike,
        t: TimesLike = None,
        features: Names = None,
        in_stream: bool | None = None,
    ) -> dict[Any, float]:
        """Return the probability of each label of a sequence.

        It is a mixture of the predictions of its rows and of two readouts of the sequence as a
        whole.

        Parameters are those of `learn_sequence`, and `in_stream` of `predict_one`. Changes nothing;
        empty before any class is known.
        """
        core = self._core
        with core.lock:
            _, proba = _sequences.predict(core, X, t, features, self._details(), in_stream)
            if not core.classes:
                return {}
            shares = _sequences.pooled(core, proba[:, : len(core.classes)])
            return dict(zip(core.classes, shares.tolist(), strict=True))

    def predict_proba_many(self, X: Any, in_stream: bool | None = None) -> Any:
        """Return class probabilities of each row of a frame, as a frame with one column per class.

        In libraries other than pandas, the columns are named by the text of the class.
        """
        frame = require_frame(X)
        proba = self.predict_proba_array(X, in_stream=in_stream)
        return frame_like(frame, proba, self.classes)

    def _details(self) -> int:
        state = self._core.state
        return 0 if state is None else len(state.classes.n_rows)

    def _shown(self, answers: Float64 | Int64) -> Array:
        slots = answers.astype(np.int64)
        classes = self._core.classes.copy()
        # Once a class is known, some class is always the answer.
        known = len(slots) == 0 or slots[0] >= 0
        plain = _plain_array(classes) if known else None
        if plain is not None:
            return plain[slots]
        found = np.empty(len(classes) + 1, object)  # with None at the end, where -1 points
        for slot, label in enumerate(classes):
            found[slot] = label
        return found[slots]


def _plain_array(labels: list[Hashable]) -> Array | None:
    """Return labels of one kind as an array of numbers or texts; None if that would change one."""
    kinds = {*map(type, labels)}
    if len(kinds) != 1 or not kinds <= {int, float, str, bool}:
        return None
    array = np.array(labels)
    kept = array.tolist()
    # texts lose NULs at their end, and integers beyond int64 beside negative ones become floats
    return array if kept == labels and {*map(type, kept)} == kinds else None


def _numbers_of_classes(n_known: Sequence[int], n: int) -> Int64:
    """Return how many classes were known at each of `n` rows, (n,), checked."""
    known = np.asarray(n_known)
    if known.shape != (n,) or (n > 0 and known.dtype.kind not in "iu"):
        raise InputError(
            f"`n_known` must be {counted(n, 'integer')}, one per row, got {shown(n_known)}"
        )
    return known.astype(np.int64)


def _number_of_threads(value: object) -> str | None:
    """Take the numbers of threads that a job can be divided among."""
    return None if type(value) is int and value in THREADS else "1, 2 or 4"


def _unknown_keyword(method: str, kwargs: Mapping[str, object]) -> TypeError:
    """Return the error of a keyword that river's signature lets pass."""
    name = next(iter(kwargs))
    advice = did_you_mean(name, ("t", "in_stream"))
    return TypeError(
        f"LOCOClassifier.{method}() got an unexpected keyword argument {name!r}{advice}"
    )

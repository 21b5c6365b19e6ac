"""The classifier."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream.estimators._sequences import SequenceEstimator, pooled
from loco_stream.estimators.inputs.slots import plain_label, require_mapping
from loco_stream.estimators.inputs.tables import frame_columns, labels, table
from loco_stream.estimators.tickets import Ticket
from loco_stream.learner.arrays.scratch import SPOKEN
from loco_stream.learner.readout.snapshots import FIRST, N_KEPT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCOClassifier"]


class LOCOClassifier(SequenceEstimator, base.MiniBatchClassifier):
    """Spiking network that learns each sample by LOCO and forgets little.

    A sample is scaled and encoded as constant currents, which drive event-driven spiking layers for
    one window; a neuron's spikes leave a synaptic trace. A bank of recursive readouts that forget
    at different speeds reads the traces; stacks and a Bayesian mixture make one set of
    probabilities of what its members say. For inputs known once but not lately, a gate lets the
    readout that never forgets speak. Hidden layers learn by local credit whose weight change is
    projected away from what their inputs have taught before (LOCO, Ma & Yu 2026): forward passes
    only, no task labels, and no row stored unless `neighbors` asks for it. A value that is missing,
    infinite, or no number is masked: it drives nothing and is counted in `masked_values`.

    A model may be used by several threads: it has one lock, and calls of its methods run one after
    the other, a block of rows as one call. `copy`, `pickle`, `save` and a checkpoint take the state
    between two such calls; a copy shares nothing with its model.

    Parameters
    ----------
    hidden_sizes
        Neurons of each hidden layer, 1 to 64 layers; a number alone is one layer. None: 128, 256
        for rows of more than 32 features, and 640 for more than 256, as the first row has them.
    rule
        ``"loco"`` (projected), ``"np"`` (no projection, and with ``credit="perturbation"`` plain
        node perturbation, where every trial changes weights by itself) or ``"frozen"`` (hidden
        layers keep their start weights).
    credit
        ``"mirror"``: the feedback that carries the error to a neuron receives the increments that
        the readout gives the neuron's row; layers that the readout does not see learn theirs as in
        ``"learned"``. ``"learned"``: feedback learned by perturbing the drives, one row in four,
        from what that changes in every output. ``"perturbation"``: feedback learned from the
        paper's product of loss change and noise alone, averaged over rows; all rows are perturbed.
    readout
        ``"recursive"``: the bank. ``"delta"``: one normalised delta rule with softmax.
    readout_layers
        ``"all"``: traces of all hidden layers and the scaled features. ``"hidden"``: the traces
        alone. ``"last"``: those of the last hidden layer. ``"auto"``: all, or hidden for rows of
        more than 256 features.
    cluster_size
        Inputs of a hidden layer that share a block of its projector, whose cost grows with it.
        None: all up to 288 input lines, else 112.
    perturbation_std
        Size of the perturbation of a drive, in thresholds a window; it must be able to move spikes.
        This and the next two matter where drives are perturbed: not with mirrored credit in layers
        that the readout sees.
    n_perturbations
        Perturbed passes of a row that is perturbed.
    antithetic
        Whether each perturbation is also run with the opposite sign.
    learning_rate
        Step of the hidden layers in units of drive: over the mean square of a layer's input. None
        takes the measured one of the credit: mirror 300, learned and perturbation 900, and a
        thirtieth of that without the recursive projector, which anneals the step; plain node
        perturbation 0.1. Results are flat from half to twice the first.
    orthogonality
        How much of a learned input's direction the projector loses: 0 nothing, 1 all.
    n_input_clusters
        0: the projector. More: the prototypes of the paper instead, the most input clusters to keep
        apart; kept for comparison.
    rank
        Directions a prototype protects.
    receptive_fields
        Gaussian fields a feature. None: 9 up to 64 features, 3 up to 256, else one line a feature.
    tau
        Time constant of the membrane, ms. None: the window.
    tau_trace
        Time constant of the trace by which learning and the readout see spikes, ms. None: the
        window.
    gain
        Root mean square of the drives of a layer, in thresholds a window, to which it settles over
        the first 300 rows. None: 6.
    window
        Length of the sample's window, ms.
    leaks
        Forgetting of each readout member a sample, ascending; 0 never forgets. The gate compares
        the first two. None: (0, 1e-4, 1e-1): one keeps all, one follows slow drift, one of ten rows
        follows streams whose labels come in runs. And (1e-9,) for rows of more than 256 features: a
        member that keeps ten tasks of thousands of rows, and still learns after a million.
    retention
        0: only adapt. The higher, the less strange an input must be for the slow readout to speak;
        above 0, old models are kept and recalled when their concept returns.
    plastic
        Share of the neurons of each layer that learn, from 0 to 1.
    class_weight
        How much a mistake on a class costs, beside the others. It acts on the answer alone: the
        probability of each class is multiplied by its weight and all are normalised again (Elkan
        2001), so that `predict_one` names the class of the least expected cost and
        `predict_proba_one` agrees with it; what is learned is the same, to the bit. Weights inside
        learning were measured too: at the same recall they rank rare rows worse. None: all 1, and
        the probabilities are calibrated. A dict: labels and their weights, 1 where a label is not
        in it. ``"balanced"``: rows learned over the number of classes and the rows of that class,
        as counted since the start.
    seed
        Of all randomness; None is 0. Equal seeds and streams give equal bytes.
    neuron
        ``"lif"``: leaky integrate-and-fire. ``"alif"``: the same with a threshold that each spike
        raises. ``"izhikevich"``: regular spiking, integrated numerically and about fifty times
        slower.
    categories
        Distinct texts a feature may hold before further ones share their slots, chosen by a
        checksum; `categories_` tells how many did. 64 cost little; the work of a row grows with the
        square of all inputs, so all features together hold at most 1024. 0: texts are masked. A
        feature counts once for the width of the first row, however many texts it has.
    memory
        Shortest and longest time constant by which the traces of every other hidden neuron carry on
        from row to row, in median gaps between rows; (0.3, 50) suits most sensors. None: each row
        starts from nothing.
    max_delay
        Longest delay of a synapse of the first layer, in rows. Each synapse has a fixed one, drawn
        from 0 to this, and learns its weight, so that neurons find what rows tell together. The
        hidden layers then move less with each further row of a run of one class. 0: a row is seen
        alone. At most 256; needs `n_input_clusters` of 0.
    reset
        What a spike does to the membrane of a ``"lif"`` neuron: ``"subtract"`` lowers it by the
        threshold, ``"zero"`` empties it. Under a constant drive both are the same unless there is a
        `dt`; files for other simulators (`Network.to_nir`) know ``"zero"`` alone.
    neighbors
        Rows that are kept, with their labels, to ask the nearest of them: up to 1,000,000. The 7
        nearest of all, the 3 nearest, and the 7 of the last fifth are three more opinions for the
        stack. This pays where classes lie in patches (digits, moving blobs) and is the one setting
        under which a model, its files and its checkpoints hold rows as they came, and somebody who
        reads these can read those. A row is compared with all rows kept: 5000 of ten features make
        a row of the default half as dear again, and take 4 bytes a value. 0: no row is kept.
    centroids
        Places among the features that move towards the rows near them and count the classes there,
        at most so many (up to 100,000); the nearest 3 and 7 are two more opinions for the stack.
        They pay where classes lie in patches, as `neighbors` do, and cost a tenth of a row's time
        at 300. A place is a blend of rows, not one of them, but whoever reads a model's file can
        tell much of single ones. None: 300, but none of rows of more than 256 features, where they
        would cost most, and none where the readout sees no features. 0: none, which
        ``readout="delta"`` asks for.
    dt
        Grid in ms on which ``"lif"`` neurons may fire, as on clocked hardware, a whole number of
        times in the window and at most 20. None: whenever they reach their threshold, which keeps
        the finest grades.

    References
    ----------
    Ma & Yu 2026 (arXiv 2602.22259); Zeng, Chen, Cui & Yu 2019 (orthogonal weight modification);
    Kolen & Pollack 1994 (mirrored feedback); Lansdell, Prakash & Kording 2020 (feedback learned
    from perturbations); Elkan 2001 (The Foundations of Cost-Sensitive Learning).

    Examples
    --------
    >>> from river import datasets, metrics
    >>> from loco_stream import LOCOClassifier
    >>> model, accuracy = LOCOClassifier(seed=1), metrics.Accuracy()
    >>> for x, y in datasets.Phishing():
    ...     accuracy.update(y, model.predict_one(x))
    ...     model.learn_one(x, y)
    >>> accuracy.get() > 0.9
    True
    """

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def classes(self) -> tuple[Hashable, ...]:
        """The labels seen, in the order they came; column j of a probability array is class j."""
        return tuple(self._classes)

    @property
    def recalled(self) -> tuple[int, int]:
        """How many readouts of old concepts were kept so far, and the number of the one that speaks now, 0: none."""
        with self._lock:
            if self._state is None:
                return 0, 0
            speakers = self._state.recall.speakers
            clock = self._state.recall.clock
            births = self._state.recall.births
            if speakers.item(0) >= 0.5:
                return clock.item(N_KEPT), 0
            loudest = int(speakers.argmax())
            speaks = loudest >= FIRST and speakers[loudest] > 0.5
            return clock.item(N_KEPT), int(births[loudest - FIRST]) if speaks else 0

    def learn_one(self, x: dict[Any, Any] | Ticket, y: Any, t: float | None = None) -> None:
        """Learn one sample; new features and a new class get the next free slots.

        Parameters
        ----------
        x
            The sample, or the `Ticket` that `observe_one` gave for it.
        y
            Its label.
        t
            Its time, in any unit; None: one gap after the last one. Only a memory reads it; a
            ticket has its own.

        Raises
        ------
        InputError
            x is no mapping, y cannot be a label, t is no number, or the ticket is another model's.
        """
        if isinstance(x, Ticket):
            self._learn_ticket(x, y)
            return
        require_mapping(x)
        label = plain_label(y)
        moment = self._moment(t)
        with self._lock:
            slot = self._class_slots.get(label)
            if slot is None or self._state is None or not self._slots.knows(tuple(x)):
                (slot,) = self._admit(x, (label,))
            self._learn_row(x, slot, 0.0, moment)

    def predict_one(self, x: dict[Any, Any], t: float | None = None, **kwargs: Any) -> Any:
        """Return the most probable class at time `t`, or None before any is known.

        Changes nothing.
        """
        with self._lock:
            slot = self._predict_row(x, t)
            return self._classes[int(slot)] if slot >= 0.0 else None

    def predict_proba_one(
        self, x: dict[Any, Any], t: float | None = None, **kwargs: Any
    ) -> dict[Any, float]:
        """Return each class's probability; they sum to 1; empty before any class is known."""
        with self._lock:
            if self._predict_row(x, t) < 0.0 or self._scratch is None:
                return {}
            return dict(zip(self._classes, self._scratch.vectors[SPOKEN].tolist(), strict=False))

    def learn_array(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> None:
        """Learn rows in order in one compiled loop, to the bit as `learn_one` would.

        Parameters
        ----------
        X
            (n, n_features) numbers; NaN is missing.
        y
            n labels: a one-dimensional array or series, or anything else that yields n values.
        features
            Names of the columns; None: the slots in order (0, 1, ... in a fresh model).
        t
            Time of each row, NaN where missing; None: one gap between two rows. Only a memory reads
            it.
        sequence
            Id of the sequence that each row belongs to: where it changes, the memory starts from
            nothing.

        Raises
        ------
        InputError
            X is not two-dimensional, its width is not the model's, y is not one-dimensional or has
            another length, or a label is None, NaN, or not hashable. Nothing is learned then.
        """
        self._learn_rows(X, y, features, t, sequence, predict_first=False)

    def learn_predict_array(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[Any]:
        """Test, then train on each row.

        Return the labels predicted before learning (see `learn_array`).
        """
        return self._labels(self._learn_rows(X, y, features, t, sequence, predict_first=True)[0])

    def learn_predict_proba_array(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Test, then train on each row; return the probabilities before learning it, (n, classes).

        Column j is `classes[j]`; a class is 0 before its first row, and a row of zeros is one
        before any class.
        """
        with self._lock:
            proba = self._learn_rows(
                X, y, features, t, sequence, predict_first=True, wants_proba=True
            )[1]
            return proba[:, : len(self._classes)]

    def predict_array(
        self,
        X: ArrayLike,
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[Any]:
        """Return the predicted label of each row, (n,)."""
        return self._labels(self._predict_rows(X, features, t, sequence)[0])

    def predict_proba_array(
        self,
        X: ArrayLike,
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Return probabilities (n, classes); column j is `classes[j]`."""
        return self._predict_rows(X, features, t, sequence)[1]

    def predict_sequence(
        self, X: ArrayLike, t: ArrayLike | None = None, features: Iterable[Hashable] | None = None
    ) -> Any:
        """Return the most probable label of the event that the rows are of.

        See `predict_proba_sequence`.
        """
        proba = self.predict_proba_sequence(X, t, features)
        return max(proba, key=proba.__getitem__) if proba else None

    def predict_proba_sequence(
        self, X: ArrayLike, t: ArrayLike | None = None, features: Iterable[Hashable] | None = None
    ) -> dict[Any, float]:
        """Return the probability of each label of an event.

        The geometric mean of what is said at its rows.

        Parameters are those of `learn_sequence`. Changes nothing; empty before any class is known.
        """
        with self._lock:
            proba = self._sequence_rows(X, t, features)[1]
            return (
                dict(zip(self._classes, pooled(proba).tolist(), strict=True))
                if self._classes
                else {}
            )

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, y, features=frame_columns(X))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted label of each row of a frame."""
        import pandas as pd

        names = frame_columns(X)
        if not self._classes:
            return pd.Series(index=X.index, dtype="object")
        return pd.Series(self.predict_array(X, features=names), index=X.index)

    def predict_proba_many(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the probabilities of each row of a frame, one column a class."""
        import pandas as pd

        proba = self.predict_proba_array(X, features=frame_columns(X))
        return pd.DataFrame(proba, index=X.index, columns=list(self._classes))

    def _learn_rows(
        self,
        X: ArrayLike,
        y: Iterable[Any],
        features: Iterable[Hashable] | None,
        t: ArrayLike | None,
        sequence: Iterable[Any] | None,
        *,
        predict_first: bool,
        wants_proba: bool = False,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return answers (n,) and probabilities, (n, room for classes) if they are wanted."""
        given = table(X)
        distinct, places = labels(y, len(given.numbers))
        with self._lock:
            names = self._names(given.numbers.shape[1], features)
            moments, last = self._moments(t, sequence, len(given.numbers))
            slots = np.array(self._admit(names, distinct), np.int64)[places]
            assert self._state is not None
            proba = np.zeros((len(slots) if wants_proba else 0, self._state.classes.shape[1]))
            self._sequence = last
            values = np.zeros(len(slots))
            return self._learn_table(
                given, names, slots, values, predict_first, moments, proba
            ), proba

    def _labels(self, answers: NDArray[np.float64]) -> NDArray[Any]:
        slots = answers.astype(np.int64)
        classes = self._classes.copy()
        kind = type(classes[0]) if classes else None
        known = (
            len(slots) == 0 or slots[0] >= 0
        )  # once a class is known, some class is always the answer
        if (
            known
            and kind in (int, float, str, bool)
            and all(type(label) is kind for label in classes)
        ):
            return np.array(classes)[slots]
        table = np.empty(len(classes) + 1, object)  # and None, where -1 points
        for slot, label in enumerate(classes):
            table[slot] = label
        return table[slots]

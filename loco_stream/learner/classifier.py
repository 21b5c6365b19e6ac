"""The classifier."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream.errors import ConfigError
from loco_stream.learner.base import LOCOEstimator
from loco_stream.learner.config import PRESETS
from loco_stream.learner.features import plain_label, require_mapping
from loco_stream.learner.inputs import frame_columns, labels, matrix
from loco_stream.learner.readout.snapshots import FIRST, N_KEPT
from loco_stream.learner.state import SPOKEN

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCOClassifier"]


class LOCOClassifier(LOCOEstimator, base.MiniBatchClassifier):
    """Spiking network that learns each sample by LOCO and forgets little.

    A sample is scaled, encoded as spike latencies and run through event-driven spiking layers. A
    bank of recursive least-squares readouts that forget at different speeds is combined by
    stacking; for inputs known once but not lately, a gate lets the readout that never forgets speak.
    Hidden layers learn by node perturbation projected away from the other input clusters (LOCO,
    Ma & Yu 2026): forward passes only, no task labels, nothing stored. A value that is missing,
    infinite, or no number is masked: it sends no spike and is counted in `masked_values`.

    A model may be used by several threads: it has one lock, and calls of its methods run one after the other, a block
    of rows as one call. `copy`, `pickle`, `save` and a checkpoint take the state between two such calls; a copy shares
    nothing with its model.

    Parameters
    ----------
    hidden_sizes
        Neurons of each hidden layer, 1 to 64 layers; a number alone is one layer.
    rule
        ``"loco"`` (projected), ``"np"`` (node perturbation without projection) or ``"frozen"``
        (hidden layers keep their start weights).
    credit
        ``"learned"``: feedback weights learned from the perturbations carry the error to every
        neuron at once. ``"perturbation"``: loss change times noise, the rule of the paper.
    readout
        ``"recursive"``: the bank. ``"delta"``: one normalised delta rule with softmax.
    readout_layers
        ``"all"``: traces of all hidden layers and the scaled features. ``"last"``: the last
        hidden layer alone.
    cluster_size
        Neurons whose perturbations are mutually orthogonal (rounded up to a power of two) and
        whose start weights are orthonormal.
    perturbation_std
        Size of the perturbation of a membrane, in thresholds; it must be able to move spikes.
    n_perturbations
        Perturbed passes a sample.
    antithetic
        Whether each perturbation is also run with the opposite sign.
    learning_rate
        Step of the hidden layers. None takes the measured one: learned credit .1 with the
        recursive readout (.3 where it sees the last layer alone) and .03 with the delta readout
        (Izhikevich neurons .3); the paper's credit 1e-3 with the recursive
        readout, and 3e-4 (loco) or 1e-4 (np) with the delta readout.
    orthogonality
        Hardness of the projection, 0 (none) to 1 (hard).
    n_input_clusters
        Most input clusters that the projection keeps apart.
    rank
        Directions a cluster protects.
    receptive_fields
        Gaussian fields a feature. None: 9 up to 64 features, 3 up to 256, else one line a feature.
    tau
        Time constant of the membrane, ms. None: 200 for one or two hidden layers, 10 for more,
        through which long memories would blur.
    tau_trace
        Time constant of the trace by which learning and the readout see spikes, ms. None: 100.
    gain
        Norm of a neuron's start weights, in thresholds. None: 6; with three hidden layers or more
        2.7, with Izhikevich neurons 2.3.
    window
        Length of the sample's window, ms.
    leaks
        Forgetting of each readout member a sample, ascending; 0 never forgets. The gate compares the first two.
    retention
        0: only adapt. The higher, the less strange an input must be for the slow readout to speak; above 0,
        old readouts are kept and recalled when their concept returns.
    seed
        Of all randomness; None is 0. Equal seeds and streams give equal bytes.
    neuron
        ``"lif"``: leaky integrate-and-fire. ``"alif"``: the same with a threshold that each spike raises.
        ``"izhikevich"``: regular spiking, integrated between events; hundreds of times slower.

    References
    ----------
    Ma & Yu 2026 (arXiv 2602.22259); Zeng, Chen, Cui & Yu 2019 (orthogonal weight modification);
    Lansdell, Prakash & Kording 2020 (learned feedback from perturbations).

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

    @classmethod
    def preset(cls, name: str, seed: int | None = None) -> Self:
        """Return a classifier set up for a purpose.

        Parameters
        ----------
        name
            ``"fast"``: 64 frozen hidden neurons and two speeds of forgetting. ``"default"``: what
            ``LOCOClassifier()`` is. ``"accurate"``: 512 hidden neurons, several times the work.
        seed
            Of all randomness.

        Raises
        ------
        ConfigError
            The name is another one.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> LOCOClassifier.preset("fast").hidden_sizes
        (64,)
        """
        if name not in PRESETS:
            raise ConfigError(f"preset is {name!r}; allowed are {', '.join(map(repr, PRESETS))}")
        return cls(**PRESETS[name], seed=seed)

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
            speakers, clock, births = self._state.recall.speakers, self._state.recall.clock, self._state.recall.births
            if speakers.item(0) >= 0.5:
                return clock.item(N_KEPT), 0
            loudest = int(speakers.argmax())
            speaks = loudest >= FIRST and speakers[loudest] > 0.5
            return clock.item(N_KEPT), int(births[loudest - FIRST]) if speaks else 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one sample; new features and a new class get the next free slots."""
        require_mapping(x)
        label = plain_label(y)
        with self._lock:
            slot = self._class_slots.get(label)
            if slot is None or self._state is None or not self._slots.knows(tuple(x)):
                (slot,) = self._admit(x, (label,))
            self._learn_row(x, slot, 0.0)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """Return the most probable class, or None before any is known. Changes nothing."""
        with self._lock:
            slot = self._predict_row(x)
            return self._classes[int(slot)] if slot >= 0.0 else None

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return each class's probability; they sum to 1; empty before any class is known."""
        with self._lock:
            if self._predict_row(x) < 0.0 or self._scratch is None:
                return {}
            return dict(zip(self._classes, self._scratch.vectors[SPOKEN].tolist(), strict=False))

    def learn_array(self, X: ArrayLike, y: Iterable[Any], features: Iterable[Hashable] | None = None) -> None:
        """Learn rows in order in one compiled loop, to the bit as `learn_one` would.

        Parameters
        ----------
        X
            (n, n_features) numbers; NaN is missing.
        y
            n labels: a one-dimensional array or series, or anything else that yields n values.
        features
            Names of the columns; None: the slots in order (0, 1, ... in a fresh model).

        Raises
        ------
        InputError
            X is not two-dimensional, its width is not the model's, y is not one-dimensional or has another length, or
            a label is None, NaN, or not hashable. Nothing is learned then.
        """
        self._learn_rows(X, y, features, predict_first=False)

    def learn_predict_array(
        self, X: ArrayLike, y: Iterable[Any], features: Iterable[Hashable] | None = None
    ) -> NDArray[Any]:
        """Test, then train on each row; return the labels predicted before learning (see `learn_array`)."""
        return self._labels(self._learn_rows(X, y, features, predict_first=True))

    def predict_array(self, X: ArrayLike, features: Iterable[Hashable] | None = None) -> NDArray[Any]:
        """Return the predicted label of each row, (n,)."""
        return self._labels(self._predict_rows(X, features)[0])

    def predict_proba_array(self, X: ArrayLike, features: Iterable[Hashable] | None = None) -> NDArray[np.float64]:
        """Return probabilities (n, classes); column j is `classes[j]`."""
        return self._predict_rows(X, features)[1]

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, y, features=frame_columns(X))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted label of each row of a frame."""
        import pandas as pd

        if not self._classes:
            return pd.Series(index=X.index, dtype="object")
        return pd.Series(self.predict_array(X, features=frame_columns(X)), index=X.index)

    def predict_proba_many(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the probabilities of each row of a frame, one column a class."""
        import pandas as pd

        proba = self.predict_proba_array(X, features=frame_columns(X))
        return pd.DataFrame(proba, index=X.index, columns=list(self._classes))

    def _learn_rows(
        self, X: ArrayLike, y: Iterable[Any], features: Iterable[Hashable] | None, *, predict_first: bool
    ) -> NDArray[np.float64]:
        given = matrix(X)
        distinct, places = labels(y, len(given))
        with self._lock:
            names = self._names(given.shape[1], features)
            slots = np.array(self._admit(names, distinct), np.int64)[places]
            return self._run(self._placed(given, names), slots, np.zeros(len(given)), predicts=predict_first)

    def _labels(self, answers: NDArray[np.float64]) -> NDArray[Any]:
        slots, classes = answers.astype(np.int64), self._classes.copy()
        kind = type(classes[0]) if classes else None
        known = len(slots) == 0 or slots[0] >= 0  # once a class is known, some class is always the answer
        if known and kind in (int, float, str, bool) and all(type(label) is kind for label in classes):
            return np.array(classes)[slots]
        table = np.empty(len(classes) + 1, object)  # and None, where -1 points
        for slot, label in enumerate(classes):
            table[slot] = label
        return table[slots]

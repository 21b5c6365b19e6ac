"""The estimators: `LOCOClassifier`, `LOCORegressor`, and `save` / `load`."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream import persist, rng, step
from loco_stream.config import DEFAULTS, ModelConfig, Settings
from loco_stream.errors import CheckpointError, InputError
from loco_stream.slots import FeatureSlots, plain_label, to_number
from loco_stream.state import (
    MASKED,
    N_FEATURES,
    N_SEEN,
    PROBA,
    SKIPPED,
    Scratch,
    State,
    allocate,
    allocate_scratch,
    flatten,
    grow,
    unflatten,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCOClassifier", "LOCORegressor", "load", "save"]


def _class_room(n_classes: int) -> int:
    """Return the power of two that holds so many classes: the same whether they came at once or one by one."""
    return max(2, 1 << (n_classes - 1).bit_length()) if n_classes > 0 else 2


class _Estimator(base.Estimator):
    """What both estimators share: settings, slots, state, array doors, saving."""

    _regression = False

    def __init__(
        self,
        hidden_sizes: tuple[int, ...] = DEFAULTS.hidden_sizes,
        rule: str = DEFAULTS.rule,
        credit: str = DEFAULTS.credit,
        readout: str = DEFAULTS.readout,
        readout_layers: str = DEFAULTS.readout_layers,
        cluster_size: int = DEFAULTS.cluster_size,
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
        leaks: tuple[float, ...] = DEFAULTS.leaks,
        retention: float = DEFAULTS.retention,
        seed: int | None = DEFAULTS.seed,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self._config = ModelConfig(**given)
        for name, value in given.items():
            setattr(self, name, value)
        self._slots = FeatureSlots()
        self._classes: list[Hashable] = []
        self._class_slots: dict[Hashable, int] = {}
        self._settings: Settings | None = None
        self._state: State | None = None
        self._scratch: Scratch | None = None
        self._row: NDArray[np.float64] = np.zeros(0)

    # What a user may look at

    @property
    def n_seen(self) -> int:
        """Number of samples learned."""
        return 0 if self._state is None else int(self._state.counts[N_SEEN])

    @property
    def n_features_in(self) -> int:
        """Number of features that have a slot."""
        return len(self._slots)

    @property
    def skipped_updates(self) -> int:
        """Number of learning steps refused because a number in them was not finite."""
        return 0 if self._state is None else int(self._state.counts[SKIPPED])

    @property
    def masked_values(self) -> int:
        """Number of feature values learned from that were missing, no number, or not finite."""
        return 0 if self._state is None else int(self._state.counts[MASKED])

    @property
    def spike_counts_(self) -> NDArray[np.int64]:
        """Spikes of each hidden layer in the last sample's pass, (n_layers,)."""
        layers = len(self._config.hidden_sizes)
        return np.zeros(layers, np.int64) if self._scratch is None else self._scratch.spikes.counts.copy()

    @property
    def last_spikes_(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Times (ms) and neurons of the last hidden layer's spikes on the last row, under today's weights."""
        settings, state, scratch = self._settings, self._state, self._scratch
        if settings is None or state is None or scratch is None or self.n_seen == 0:
            return np.zeros(0, np.float32), np.zeros(0, np.int32)
        step.predict(settings, state, scratch, scratch.row)
        last = settings.n_layers - 1
        n = scratch.spikes.counts[last]
        return scratch.spikes.times[last & 1, :n].copy(), scratch.spikes.indices[last & 1, :n].copy()

    # Room

    def _ensure(self, n_classes: int) -> tuple[Settings, State, Scratch]:
        """Return settings, state and scratch with room for all known features and `n_classes` outputs."""
        if self._settings is None or self._state is None or self._scratch is None:
            self._allocate(max(len(self._slots), 1), _class_room(n_classes))
        settings, state, scratch = self._settings, self._state, self._scratch
        assert settings is not None and state is not None and scratch is not None
        room_features, room_classes = state.statistics.shape[1], state.classes.shape[1]
        if len(self._slots) > room_features or n_classes > room_classes:
            features = room_features if len(self._slots) <= room_features else max(2 * room_features, len(self._slots))
            classes = max(room_classes, _class_room(n_classes))
            state = grow(self._config, settings, state, features, classes)
            scratch = self._adopt(settings, state)
        state.counts[N_FEATURES] = len(self._slots)
        return settings, state, scratch

    def _allocate(self, n_features: int, n_classes: int) -> None:
        settings = self._resolve(self._config.fields_for(n_features))
        self._adopt(settings, allocate(self._config, settings, n_features, 1 if self._regression else n_classes))

    def _resolve(self, n_fields: int) -> Settings:
        key = rng.derive_key(self._config.seed or 0, 0)
        return self._config.settings(n_fields, regression=self._regression, seed_key=key)

    def _adopt(self, settings: Settings, state: State) -> Scratch:
        scratch = allocate_scratch(settings, state)
        self._settings, self._state, self._scratch = settings, state, scratch
        self._row = np.full(state.statistics.shape[1], np.nan)
        return scratch

    # Rows

    def _learn_row(self, x: Mapping[Hashable, Any], label: int, value: float) -> None:
        if not self._slots.knows(tuple(x)):
            self._slots.register(x)
        settings, state, scratch = self._ensure(len(self._classes))
        self._slots.fill(x, self._row)
        step.learn(settings, state, scratch, self._row, label, value)

    def _predict_row(self, x: Mapping[Hashable, Any]) -> float:
        if self._settings is None or self._state is None or self._scratch is None:
            return -1.0
        self._slots.fill(x, self._row)
        return float(step.predict(self._settings, self._state, self._scratch, self._row))

    def _columns(self, width: int, features: Sequence[Hashable] | None, *, register: bool) -> list[int]:
        """Return the slot of each column, -1 for unknown ones; unnamed columns are the slots in order."""
        if features is None:
            if len(self._slots) == 0:
                if not register:
                    return [-1] * width
                features = range(width)
            elif width != len(self._slots):
                raise InputError(
                    f"X has {width} columns, but this model knows {len(self._slots)} features; "
                    "pass features= to say which column is which"
                )
            else:
                return list(range(width))
        names = tuple(features)
        if len(names) != width or len(set(names)) != width:
            raise InputError(f"features names {len(set(names))} distinct columns, but X has {width}")
        if register:
            self._slots.register(names)
        return [self._slots.index.get(name, -1) for name in names]

    def _rows(self, X: ArrayLike, features: Sequence[Hashable] | None, *, register: bool) -> NDArray[np.float64]:
        """Return X in slot order, (n, feature capacity) float64, NaN where a feature has no column."""
        given = _matrix(X)
        columns = self._columns(given.shape[1], features, register=register)
        if register:
            self._ensure(len(self._classes))
        if columns == list(range(len(self._row))):
            return np.ascontiguousarray(given)
        rows = np.full((given.shape[0], len(self._row)), np.nan)
        for j, slot in enumerate(columns):
            if slot >= 0:
                rows[:, slot] = given[:, j]
        return rows

    def _learn_rows(
        self, X: ArrayLike, labels: NDArray[np.int64], values: NDArray[np.float64],
        features: Sequence[Hashable] | None, *, predict_first: bool,
    ) -> NDArray[np.float64]:  # fmt: skip
        rows = self._rows(X, features, register=True)
        settings, state, scratch = self._ensure(len(self._classes))
        if rows.shape[0] != labels.shape[0]:
            raise InputError(f"X has {rows.shape[0]} rows, but y has {labels.shape[0]} values")
        answers = np.full(rows.shape[0], -1.0)
        step.learn_block(settings, state, scratch, rows, labels, values, predict_first, answers)
        return answers

    def _predict_rows(
        self, X: ArrayLike, features: Sequence[Hashable] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return answers (n,) and probabilities (n, classes)."""
        if self._settings is None or self._state is None or self._scratch is None:
            n = _matrix(X).shape[0]
            return np.full(n, -1.0), np.zeros((n, 0))
        rows = self._rows(X, features, register=False)
        answers = np.empty(rows.shape[0])
        proba = np.zeros((rows.shape[0], self._state.classes.shape[1]))
        step.predict_block(self._settings, self._state, self._scratch, rows, answers, proba)
        return answers, proba[:, : len(self._classes)]

    # Saving

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        kept["_scratch"] = None
        kept["_row"] = None
        kept["_slots"] = FeatureSlots(self._slots.index)
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._row = np.zeros(0)
        if self._settings is not None and self._state is not None:
            self._adopt(self._settings, self._state)

    def export_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (plain values, copies of all arrays): what `from_state` needs to go on bit-equal."""
        config: dict[str, Any] = {
            "kind": type(self).__name__,
            "parameters": self._config.to_dict(),
            "features": list(self._slots.index),
            "classes": list(self._classes),
            "n_fields": None if self._settings is None else self._settings.n_fields,
        }
        arrays = {} if self._state is None else {name: array.copy() for name, array in flatten(self._state).items()}
        return config, arrays

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
            model._slots = FeatureSlots(config["features"])
            model._classes = list(config["classes"])
            model._class_slots = {label: slot for slot, label in enumerate(model._classes)}
            if config["n_fields"] is not None:
                settings = model._resolve(config["n_fields"])
                state = unflatten(arrays)
                room = (state.statistics.shape[1], state.classes.shape[1])
                needed = flatten(allocate(model._config, settings, *room, draw=False))
                for name, array in flatten(state).items():
                    if array.shape != needed[name].shape or array.dtype != needed[name].dtype:
                        raise CheckpointError(f"array {name!r} is {array.dtype}{array.shape}, not the settings' shape")
                model._adopt(settings, state)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(f"this saved {cls.__name__} cannot be restored: {error}") from error
        return model


class LOCOClassifier(_Estimator, base.MiniBatchClassifier):
    """Spiking network that learns each sample by LOCO and forgets little.

    A sample is scaled, encoded as spike latencies and run through event-driven spiking layers. A
    bank of recursive least-squares readouts that forget at different speeds is combined by
    stacking; while a known class stays away, a gate lets the readout that never forgets speak.
    Hidden layers learn by node perturbation projected away from the other input clusters (LOCO,
    Ma & Yu 2026): forward passes only, no task labels, nothing stored. A value that is missing,
    infinite, or no number is masked: it sends no spike and is counted in `masked_values`.

    Parameters
    ----------
    hidden_sizes
        Neurons of each hidden layer, 1 to 64 layers.
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
        recursive and .03 with the delta readout; the paper's credit 1e-3 with the recursive
        readout, and 3e-4 (loco) or 1e-4 (np) with the delta readout.
    orthogonality
        Hardness of the projection, 0 (none) to 1 (hard).
    n_input_clusters
        Most input clusters that the projection keeps apart.
    rank
        Directions a cluster protects.
    receptive_fields
        Gaussian fields a feature. None: 9 up to 64 features, 3 up to 256, else one line a feature.
    tau, tau_trace
        Time constants of membrane and trace, ms. None: 200 and 100 for one or two hidden layers,
        20 and 20 for more, through which long memories would blur.
    gain
        Norm of a neuron's start weights, in thresholds. None: 6, in deep nets 2.3.
    window
        Length of the sample's window, ms.
    leaks
        Forgetting of each readout member a sample; 0 never forgets.
    retention
        0: only adapt. 1: while a known class is dormant, only the slow readout speaks.
    seed
        Of all randomness; None is 0. Equal seeds and streams give equal bytes.

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

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def classes(self) -> tuple[Hashable, ...]:
        """The labels seen, in the order they came; column j of a probability array is class j."""
        return tuple(self._classes)

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one sample; new features and a new class get the next free slots."""
        self._learn_row(x, self._slot_of(y), 0.0)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """Return the most probable class, or None before any is known. Changes nothing."""
        slot = self._predict_row(x)
        return self._classes[int(slot)] if slot >= 0.0 else None

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return each class's probability; they sum to 1; empty before any class is known."""
        if self._predict_row(x) < 0.0 or self._scratch is None:
            return {}
        return dict(zip(self._classes, self._scratch.vectors[PROBA].tolist(), strict=False))

    def learn_array(self, X: ArrayLike, y: Sequence[Any], features: Sequence[Hashable] | None = None) -> None:
        """Learn rows in order in one compiled loop, to the bit as `learn_one` would.

        Parameters
        ----------
        X
            (n, n_features) numbers; NaN is missing.
        y
            n labels.
        features
            Names of the columns; None: the slots in order (0, 1, ... in a fresh model).

        Raises
        ------
        InputError
            X is not two-dimensional, its width is not the model's, or y has another length.
        """
        self._learn_rows(X, self._slots_of(y), np.zeros(len(y)), features, predict_first=False)

    def learn_predict_array(
        self, X: ArrayLike, y: Sequence[Any], features: Sequence[Hashable] | None = None
    ) -> NDArray[Any]:
        """Test, then train on each row; return the labels predicted before learning (see `learn_array`)."""
        answers = self._learn_rows(X, self._slots_of(y), np.zeros(len(y)), features, predict_first=True)
        return self._labels(answers)

    def predict_array(self, X: ArrayLike, features: Sequence[Hashable] | None = None) -> NDArray[Any]:
        """Return the predicted label of each row, (n,)."""
        return self._labels(self._predict_rows(X, features)[0])

    def predict_proba_array(self, X: ArrayLike, features: Sequence[Hashable] | None = None) -> NDArray[np.float64]:
        """Return probabilities (n, classes); column j is `classes[j]`."""
        return self._predict_rows(X, features)[1]

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, list(y), features=tuple(X.columns))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted label of each row of a frame."""
        import pandas as pd

        if not self._classes:
            return pd.Series(index=X.index, dtype="object")
        return pd.Series(self.predict_array(X, features=tuple(X.columns)), index=X.index)

    def predict_proba_many(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the probabilities of each row of a frame, one column a class."""
        import pandas as pd

        proba = self.predict_proba_array(X, features=tuple(X.columns))
        return pd.DataFrame(proba, index=X.index, columns=list(self._classes))

    def _slot_of(self, y: Any) -> int:
        label = plain_label(y)
        slot = self._class_slots.get(label)
        if slot is None:
            slot = self._class_slots[label] = len(self._classes)
            self._classes.append(label)
        return slot

    def _slots_of(self, y: Sequence[Any]) -> NDArray[np.int64]:
        labels = [plain_label(label) for label in y]  # all checked before the first is registered
        return np.array([self._slot_of(label) for label in labels], np.int64)

    def _labels(self, answers: NDArray[np.float64]) -> NDArray[Any]:
        labels = [self._classes[int(slot)] if slot >= 0.0 else None for slot in answers]
        if None not in labels and all(isinstance(label, (int, float, str, bool)) for label in self._classes):
            return np.array(labels)
        out = np.empty(len(labels), object)
        out[:] = labels
        return out


class LOCORegressor(_Estimator, base.MiniBatchRegressor):
    """The same network for a number: readouts of one output, in units of the target's running scale.

    Predictions stay within the target's range so far and a quarter of it beyond. Parameters are
    those of `LOCOClassifier`.

    Examples
    --------
    >>> from river import datasets, metrics
    >>> from loco_stream import LOCORegressor
    >>> model, error = LOCORegressor(seed=1), metrics.MAE()
    >>> for x, y in datasets.TrumpApproval():
    ...     error.update(y, model.predict_one(x))
    ...     model.learn_one(x, y)
    >>> error.get() < 1.0
    True
    """

    _regression = True

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn one sample; raises `InputError` if y is not a finite number."""
        self._learn_row(x, 0, _target(y))

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the predicted value; 0.0 before the first sample."""
        return 0.0 if self._state is None else self._predict_row(x)

    def learn_array(self, X: ArrayLike, y: Sequence[float], features: Sequence[Hashable] | None = None) -> None:
        """Learn rows in order in one compiled loop; see `LOCOClassifier.learn_array`."""
        values = np.array([_target(value) for value in y], np.float64)
        self._learn_rows(X, np.zeros(len(values), np.int64), values, features, predict_first=False)

    def learn_predict_array(
        self, X: ArrayLike, y: Sequence[float], features: Sequence[Hashable] | None = None
    ) -> NDArray[np.float64]:
        """Test, then train on each row; return the values predicted before learning, (n,)."""
        values = np.array([_target(value) for value in y], np.float64)
        return self._learn_rows(X, np.zeros(len(values), np.int64), values, features, predict_first=True)

    def predict_array(self, X: ArrayLike, features: Sequence[Hashable] | None = None) -> NDArray[np.float64]:
        """Return the predicted value of each row, (n,)."""
        if self._state is None:
            return np.zeros(_matrix(X).shape[0])
        return self._predict_rows(X, features)[0]

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, list(y), features=tuple(X.columns))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted value of each row of a frame."""
        import pandas as pd

        return pd.Series(self.predict_array(X, features=tuple(X.columns)), index=X.index)


def _target(y: Any) -> float:
    value = to_number(y)
    if not math.isfinite(value):
        raise InputError(f"y is {y!r}; a target must be a finite number")
    return value


def _matrix(X: ArrayLike) -> NDArray[np.float64]:
    """Return X as a float64 matrix, NaN for cells that are no number."""
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError(f"X has {array.ndim} dimensions; allowed are 2, (rows, features)")
    if array.dtype.kind in "biuf":
        return np.asarray(array, np.float64)
    cells = [to_number(cell) for cell in array.ravel().tolist()]
    return np.array(cells, np.float64).reshape(array.shape)


def save(model: LOCOClassifier | LOCORegressor, path: str | os.PathLike[str]) -> None:
    """Write a model to one checked file without pickle; `load` continues bit-equal.

    Raises
    ------
    InputError
        `model` is not one of this package's estimators.
    CheckpointError
        The file cannot be written, or a feature name or class is not a plain value.

    Examples
    --------
    >>> import os, tempfile
    >>> from loco_stream import LOCOClassifier, load, save
    >>> model = LOCOClassifier(hidden_sizes=(16,))
    >>> model.learn_one({"a": 1.0}, "yes")
    >>> path = os.path.join(tempfile.mkdtemp(), "model.loco")
    >>> save(model, path)
    >>> load(path).predict_one({"a": 1.0})
    'yes'
    """
    if not isinstance(model, _Estimator):
        raise InputError(f"cannot save a {type(model).__name__}; allowed are LOCOClassifier and LOCORegressor")
    config, arrays = model.export_state()
    persist.write(path, config["kind"], config, arrays)


def load(path: str | os.PathLike[str]) -> LOCOClassifier | LOCORegressor:
    """Read a model that `save` or an engine's checkpoint wrote.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another kind, or of a newer version.
    """
    saved = persist.read(path)
    config, arrays = saved.config, saved.arrays
    if saved.kind == "checkpoint":
        config = config.get("model", {})
        prefix = "model/"
        arrays = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    kinds: dict[Any, type[LOCOClassifier | LOCORegressor]] = {
        "LOCOClassifier": LOCOClassifier,
        "LOCORegressor": LOCORegressor,
    }
    kind = kinds.get(config.get("kind"))
    if kind is None:
        raise CheckpointError(f"{os.fspath(path)} holds a {config.get('kind') or saved.kind}, not a model")
    return kind.from_state(config, arrays)

"""The doors that explain an estimator: one answer, and which features matter to it at all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError
from loco_stream.estimators.explain.relevance import Parts, attribute
from loco_stream.estimators.explain.result import Explanation
from loco_stream.estimators.inputs.slots import FeatureSlots
from loco_stream.learner.arrays.scratch import Scratch
from loco_stream.learner.arrays.state import COUNT, HIGHEST, LOWEST, MEAN, SQUARES, State
from loco_stream.learner.readout.snapshots import FIRST, STACK, may_be_heard
from loco_stream.options import Settings
from loco_stream.rng import derive_key, normals, uniforms

__all__ = ["Explains"]

# rows tried for the importances: as many as cells allow
_CELLS = 4096
_FEWEST = 8
_MOST = 64
_TRIALS = 105  # purpose of their random numbers


class Explains:
    """What `LOCOEstimator` explains of itself."""

    _lock: RLock
    _slots: FeatureSlots
    _settings: Settings | None
    _state: State | None
    _scratch: Scratch | None
    _classes: list[Hashable]
    _regression: bool

    if TYPE_CHECKING:

        @property
        def mixture_(self) -> dict[str, float]: ...  # noqa: D102

        def _run(self, *args: Any, **options: Any) -> NDArray[np.float64]: ...

        def _predict_row(self, x: Mapping[Hashable, Any], t: float | None) -> float: ...

    def explain_one(self, x: Mapping[Any, Any], t: float | None = None) -> Explanation:
        """Explain the answer to a row: what each feature adds to it, and which memory speaks.

        Changes nothing.

        The readouts are linear in the traces of the hidden neurons and in the features, so their
        score is taken apart exactly; what a neuron adds goes to the features by their shares of its
        drive (layer-wise relevance propagation, Bach et al. 2015). Each of the experts is weighed
        by how much it speaks; naive Bayes is a sum over features by itself; what the nearest
        centroids and kept rows add stands apart. The gate of `retention`, which acts on rows unlike
        those of late, and models of old that are recalled are not taken apart; `explained` says how
        much of the answer is without the latter.

        Parameters
        ----------
        x
            The row.
        t
            Its time, as in `predict_one`.

        Raises
        ------
        InputError
            x is no mapping, or nothing has been learned.

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
        with self._lock:
            answer = self._predict_row(x, t)
            settings = self._settings
            state = self._state
            scratch = self._scratch
            if (
                settings is None
                or state is None
                or scratch is None
                or (not self._regression and not self._classes)
            ):
                raise InputError("nothing has been learned, so there is no answer to explain")
            n_slots = len(self._slots)
            slot = 0 if self._regression else int(answer)
            n_classes = 1 if self._regression else len(self._classes)
            parts = attribute(settings, state, scratch, n_slots, n_classes, slot)
            return self._explanation(state, parts, answer)

    def _explanation(self, state: State, parts: Parts, answer: float) -> Explanation:
        """Name what was taken apart; a feature's texts add up."""
        scale = 1.0
        shift = 0.0
        if self._regression:
            scale = float(np.sqrt(state.target[SQUARES, 0] / max(state.target[COUNT, 0], 1.0)))
            shift = float(state.target[MEAN, 0])
        adds = {name: scale * float(parts.slots[slot]) for name, slot in self._slots.index.items()}
        for name, _, slot in self._slots.categories:
            adds[name] += scale * float(parts.slots[slot])
        ordered = dict(sorted(adds.items(), key=lambda item: -abs(item[1])))
        base = shift + scale * parts.constant
        before = scale * parts.before
        nearest = scale * parts.nearest
        in_force, memories = self._memories(state)
        return Explanation(
            answer if self._regression else self._classes[int(answer)],
            ordered,
            base,
            before,
            nearest,
            base + before + nearest + sum(ordered.values()),
            memories,
            in_force,
        )

    def _memories(self, state: State) -> tuple[float, dict[str, float]]:
        """Return the share of the readout in force, and of each memory in the answer."""
        old = state.recall
        if not may_be_heard(old.speakers, old.clock):
            return 1.0, dict(self.mixture_)
        recalled = zip(old.births.tolist(), old.speakers[FIRST:].tolist(), strict=True)
        total = float(old.speakers[STACK] + old.speakers[FIRST:].sum())
        in_force = float(old.speakers[STACK]) / total
        memories = {name: in_force * share for name, share in self.mixture_.items()}
        return in_force, memories | {
            f"old model {birth}": say / total for birth, say in recalled if say > 0.0
        }

    @property
    def feature_importances_(self) -> dict[Hashable, float]:
        """How much each feature matters to the answers: shares that sum to 1.

        Empty before the first row.

        On a few dozen rows, drawn around each feature's mean and deviation, the mean change of the
        answer when the feature's value is taken away. No row of the stream is kept for this, so
        features that move together count as if they did not.

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
        with self._lock:
            state = self._state
            slots = self._slots
            if state is None or not slots.index:
                return {}
            rows = self._trial_rows(state)
            said = self._answers(rows)
            changes = {}
            for name, slot in slots.index.items():
                without = rows.copy()
                without[
                    :, [slot, *(place for key, _, place in slots.categories if key == name)]
                ] = np.nan
                changes[name] = float(np.abs(self._answers(without) - said).mean())
        total = sum(changes.values())
        return {name: change / total if total > 0.0 else 0.0 for name, change in changes.items()}

    def _answers(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities (n, classes) or values (n, 1)."""
        n_classes = max(1, len(self._classes))
        if self._regression:
            return self._run(rows, learns=False)[:, None]
        assert self._state is not None
        proba = np.zeros((len(rows), self._state.classes.shape[1]))
        self._run(rows, learns=False, proba=proba)
        return proba[:, :n_classes]

    def _trial_rows(self, state: State) -> NDArray[np.float64]:
        """Draw rows in slot order, each feature apart.

        Numbers normal and within their range, or one of the texts.
        """
        width = state.statistics.shape[1]
        statistics = state.statistics
        n = min(max(_CELLS // width, _FEWEST), _MOST)
        key = derive_key(0, _TRIALS)
        rows = np.full((n, width), np.nan)
        for name, slot in self._slots.index.items():
            texts = [place for owner, _, place in self._slots.categories if owner == name]
            if texts:
                chosen = (uniforms(key, 4 * n * slot, n) * len(texts)).astype(int)
                rows[np.arange(n), np.array(texts)[chosen]] = 1.0
            elif statistics[COUNT, slot] > 0.0:
                deviation = np.sqrt(statistics[SQUARES, slot] / statistics[COUNT, slot])
                drawn = statistics[MEAN, slot] + deviation * normals(key, 2 * n * slot, n)
                rows[:, slot] = np.clip(drawn, statistics[LOWEST, slot], statistics[HIGHEST, slot])
        return rows

"""What both estimators show.

Models set up for a purpose, and the public attributes, read from their state.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import RLock
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError
from loco_stream.estimators.explain.api import Explains
from loco_stream.estimators.inputs.row_times import moments_at
from loco_stream.estimators.inputs.slots import FeatureSlots
from loco_stream.learner.arrays.scratch import Scratch
from loco_stream.learner.arrays.state import MASKED, N_SEEN, SKIPPED, State
from loco_stream.learner.hidden import last_spikes
from loco_stream.neurons.spikes import MOST_SPIKES
from loco_stream.options import LINEAR_LEAKS, PRESETS, Layout, Settings

__all__ = ["Attributes"]


class Attributes(Explains):
    """The public attributes; `LOCOEstimator` has what they are read from."""

    _lock: RLock
    _slots: FeatureSlots
    _layout: Layout
    _settings: Settings | None
    _state: State | None
    _scratch: Scratch | None

    if TYPE_CHECKING:

        def __init__(self, *, seed: int | None = None, **settings: Any) -> None: ...

        def _run(self, *args: Any, **options: Any) -> NDArray[np.float64]: ...

    @classmethod
    def preset(cls, name: str, seed: int | None = None) -> Self:
        """Return a model set up for a purpose.

        Parameters
        ----------
        name
            ``"fast"``: 64 hidden neurons. ``"default"``: what it is without settings.
            ``"accurate"``: 256 hidden neurons, and neighbours among the last 5000 rows, which are
            kept; two to four times the work.
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
    def n_seen(self) -> int:
        """Number of samples learned."""
        return 0 if self._state is None else int(self._state.counts[N_SEEN])

    @property
    def n_features_in(self) -> int:
        """Number of features that have a slot; their texts do not count."""
        return len(self._slots.index)

    @property
    def categories_(self) -> dict[Hashable, dict[str, int]]:
        """The features with texts.

        How many distinct ones have a slot, how many may (`bound`), values that shared one.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(categories=2)
        >>> for city in ("Rome", "Oslo", "Lima"):
        ...     model.learn_one({"city": city}, "yes")
        >>> model.categories_
        {'city': {'distinct': 2, 'bound': 2, 'shared': 1}}
        """
        with self._lock:
            return self._slots.categories.report()

    @property
    def features(self) -> tuple[Hashable, ...]:
        """Names of the features, in the order of their slots."""
        return tuple(self._slots.index)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of neurons of each hidden layer."""
        return self._layout.hidden_sizes

    @property
    def skipped_updates(self) -> int:
        """Number of learning steps refused because a number in them was not finite."""
        return 0 if self._state is None else int(self._state.counts[SKIPPED])

    @property
    def masked_values(self) -> int:
        """Number of feature values learned from that were missing, not finite, or neither a number nor a category."""
        return 0 if self._state is None else int(self._state.counts[MASKED])

    @property
    def spike_counts_(self) -> NDArray[np.int64]:
        """Spikes of each hidden layer in the last sample's pass, (n_layers,)."""
        if self._scratch is None:
            return np.zeros(len(self.layer_sizes), np.int64)
        spikes: NDArray[np.int64] = self._scratch.run.spikes[0]
        return spikes.copy()

    @property
    def mixture_(self) -> dict[str, float]:
        """What speaks in the combined output; of the delta readout alone: empty.

        Classification: the probability of each expert, judged by the labels of late: the log-loss
        stack and the least-squares stack of all members, each member by its leak, a linear logistic
        member and naive Bayes. Regression: the weight of each member in the stack.
        """
        settings = self._settings
        state = self._state
        if settings is None or state is None or not settings.recursive:
            return {}
        names = [f"leak {leak:g}" for leak in self._layout.leaks]
        names += [f"linear, leak {leak:g}" for leak in LINEAR_LEAKS[: settings.n_linear]]
        if settings.regression:
            names += ["late neighbors", "neighbors"][: settings.n_says]
            return dict(zip(names, state.bank.stack.tolist(), strict=True))
        names = [
            "stack",
            "least-squares stack",
            *names,
            *["linear logistic", "naive Bayes"][: settings.n_linear],
        ]
        evidence = np.exp(state.bank.evidence - state.bank.evidence.max())
        return dict(zip(names, (evidence / evidence.sum()).tolist(), strict=True))

    @property
    def last_spikes_(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Times (ms) and neurons of the last hidden layer's spikes on the last row, under today's weights."""
        with self._lock:
            settings = self._settings
            state = self._state
            scratch = self._scratch
            if settings is None or state is None or scratch is None or self.n_seen == 0:
                return np.zeros(0, np.float32), np.zeros(0, np.int32)
            self._run(scratch.row[None, :], learns=False, moments=moments_at(scratch.moment))
            room = MOST_SPIKES * settings.n_last
            times = np.zeros(room, np.float32)
            neurons = np.zeros(room, np.int32)
            run = scratch.run
            n = last_spikes(
                settings,
                state.net.sizes,
                state.net.gains,
                run.drives[0],
                run.cell,
                run.times,
                times,
                neurons,
            )
            order = np.argsort(times[:n], kind="stable")
            return times[order], neurons[order]

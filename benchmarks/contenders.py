"""Every contender by name: our own estimator with its ablations, and the peers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.learner import Learner, RiverLearner
from benchmarks.machine import fingerprint
from benchmarks.rivals import CLASSIFIERS, REGRESSORS
from loco_stream.errors import ConfigError
from loco_stream.learner.config import PRESETS

__all__ = ["BY_DICTS", "NAMES", "VARIANTS", "code", "make", "make_regressor", "pick", "seeded", "whole_numbers"]

BY_DICTS = "default by dicts"

# Only 32 neurons, and the readout sees nothing else: here their weights matter most.
_NARROW: dict[str, Any] = {"hidden_sizes": (32,), "readout_layers": "last"}
# Three layers, of which the readout sees the last: here weights grow until norm control holds them.
_DEEP: dict[str, Any] = {"hidden_sizes": (128, 128, 128), "readout_layers": "last"}
_NO_NORM_CONTROL = "3 layers last no norm control"
# One change each from the default: what an ablation switches off or replaces.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    BY_DICTS: {},
    "frozen": {"rule": "frozen"},
    "np": {"rule": "np", "credit": "perturbation"},
    "paper's credit": {"credit": "perturbation"},
    "no projection": {"orthogonality": 0.0},
    "mean only": {"n_input_clusters": 1},  # one cluster: the projection takes out the running mean, no more
    "rank 4": {"rank": 4},
    "antithetic": {"antithetic": True},
    "4 perturbations": {"n_perturbations": 4},
    "delta readout": {"readout": "delta"},
    "leak 0 only": {"leaks": (0.0,)},
    "leak 1e-4 only": {"leaks": (1e-4,)},
    "leak 1e-3 only": {"leaks": (1e-3,)},
    "leak 1e-2 only": {"leaks": (1e-2,)},
    "retention 0": {"retention": 0.0},
    "32 last": _NARROW,
    "32 last frozen": {**_NARROW, "rule": "frozen"},
    "32 last no projection": {**_NARROW, "orthogonality": 0.0},
    "3 layers last": _DEEP,
    _NO_NORM_CONTROL: _DEEP,
    "preset fast": PRESETS["fast"],
    "preset accurate": PRESETS["accurate"],
}

NAMES = (*VARIANTS, *CLASSIFIERS)


def make(name: str, n_features: int, n_classes: int, seed: int, **settings: Any) -> Learner:
    """Return a fresh contender; `settings` are passed to our estimator and change nothing in a peer.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    if name in VARIANTS:
        from loco_stream import LOCOClassifier

        kind = _unlimited() if name == _NO_NORM_CONTROL else LOCOClassifier
        model: Learner = kind(**{**settings, **VARIANTS[name]}, seed=seed)
        return RiverLearner(model) if name == BY_DICTS else model
    if name in CLASSIFIERS:
        return CLASSIFIERS[name].make(n_features, n_classes, seed)
    raise ConfigError(f"contender is {name!r}; allowed are {', '.join(NAMES)}.")


def _unlimited() -> Any:
    """Return our classifier with weights that may grow without limit."""
    from loco_stream import LOCOClassifier
    from loco_stream.learner.state import NORM_LIMIT

    class Unlimited(LOCOClassifier):
        def _allocate(self, n_features: int, n_classes: int) -> None:
            super()._allocate(n_features, n_classes)
            assert self._state is not None
            self._state.net.neurons[NORM_LIMIT] = np.inf

    return Unlimited


def make_regressor(name: str, n_features: int, seed: int) -> Learner:
    """Return a fresh regressor: `LOCORegressor` by dicts as "default", else a peer."""
    if name == "default":
        from loco_stream import LOCORegressor

        return RiverLearner(LOCORegressor(seed=seed))
    return REGRESSORS[name].make(n_features, 0, seed)


def seeded(name: str) -> bool:
    """Tell whether the seed changes what the contender does."""
    rival = CLASSIFIERS.get(name) or REGRESSORS.get(name)
    return rival.seeded if rival else True


def code(name: str) -> str:
    """Return the fingerprint of the code that decides this contender's figures."""
    files = (
        "benchmarks/learner.py",
        "benchmarks/rivals.py",
        "benchmarks/mlp.py",
        "benchmarks/linear.py",
        "benchmarks/data.py",
    )
    return fingerprint(*files) if name in CLASSIFIERS or name in REGRESSORS else fingerprint()


def pick(chosen: str | None, allowed: tuple[str, ...], option: str, separator: str = ",") -> list[str]:
    """Split an option into known names; None means all.

    Raises
    ------
    ConfigError
        For a name that is not allowed.

    Examples
    --------
    >>> pick("frozen, np", ("default", "frozen", "np"), "--only")
    ['frozen', 'np']
    """
    if chosen is None:
        return list(allowed)
    names = [name.strip() for name in chosen.split(separator)]
    for name in names:
        if name not in allowed:
            raise ConfigError(f"{option} names {name!r}; allowed are {f'{separator} '.join(allowed)}.")
    return names


def whole_numbers(text: str, option: str) -> list[int]:
    """Split an option such as "1,3,10" into whole numbers of at least 1.

    Raises
    ------
    ConfigError
        If a part is no such number.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"{option} is {text!r}; allowed are whole numbers from 1, separated by commas.")
    return [int(part) for part in parts]

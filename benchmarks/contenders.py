"""Every contender by name: our own estimator with its ablations, and the peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import release
from benchmarks.learner import Learner, RiverLearner
from benchmarks.machine import fingerprint
from benchmarks.rivals import CLASSIFIERS, REGRESSORS, over_sampled
from benchmarks.runs import Run
from loco_stream.errors import ConfigError

__all__ = [
    "BY_DICTS",
    "NAMES",
    "OVER_SAMPLED",
    "RELEASE",
    "RELEASES",
    "VARIANTS",
    "by_dicts",
    "code",
    "make",
    "make_regressor",
    "pick",
    "present",
    "run",
    "seeded",
    "whole_numbers",
]

BY_DICTS = "default by dicts"
OVER_SAMPLED = "default over-sampled"  # by river's imblearn, around our own
RELEASE = "release 0.1"
RELEASES = {
    RELEASE: "default",
    f"{RELEASE} (128)": "128 neurons",
}  # and the variant of it that is run

# Only 32 neurons, and the readout sees nothing else: here their weights matter most.
_NARROW: dict[str, Any] = {"hidden_sizes": (32,), "readout_layers": "last"}
_DEEP: dict[str, Any] = {"hidden_sizes": (128, 128, 128), "readout_layers": "last"}
# One change each from the default: what an ablation switches off or replaces. Frozen rows have the
# same size.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    BY_DICTS: {},
    "frozen": {"rule": "frozen"},
    "learned credit": {"credit": "learned"},
    "paper's credit": {"credit": "perturbation"},
    # Without the recursive projector steps are longer: at the rates that are best in three layers,
    # see `depth`.
    "np": {"rule": "np", "credit": "perturbation", "learning_rate": 0.1},  # plain node perturbation
    "no projection": {"rule": "np", "learning_rate": 10.0},
    "prototypes": {"n_input_clusters": 10, "learning_rate": 10.0},
    "half plastic": {"plastic": 0.5},
    "balanced": {"class_weight": "balanced"},
    OVER_SAMPLED: {},
    "antithetic": {"credit": "learned", "antithetic": True},
    "4 perturbations": {"credit": "learned", "n_perturbations": 4},
    "delta readout": {"readout": "delta"},
    "leak 0 only": {"leaks": (0.0,)},
    "leak 1e-4 only": {"leaks": (1e-4,)},
    "leak 1e-2 only": {"leaks": (1e-2,)},
    "retention 0": {"retention": 0.0},
    "ALIF": {"neuron": "alif"},
    "32 last": _NARROW,
    "32 last frozen": {**_NARROW, "rule": "frozen"},
    "32 last no projection": {**_NARROW, "rule": "np", "learning_rate": 10.0},
    "3 layers last": _DEEP,
    "3 layers last frozen": {**_DEEP, "rule": "frozen"},
    "128 neurons": {"hidden_sizes": (128,)},  # today's default, of which release 0.1 had 256
    "64 neurons": {"hidden_sizes": (64,)},  # preset("fast")
    "64 neurons frozen": {"hidden_sizes": (64,), "rule": "frozen"},
    "256 neurons": {"hidden_sizes": (256,)},
    "256 neurons frozen": {"hidden_sizes": (256,), "rule": "frozen"},
    "no centroids": {"centroids": 0},
    "no centroids frozen": {"centroids": 0, "rule": "frozen"},
    "memory": {"memory": (0.3, 50.0)},  # of which none of these streams has need
    "neighbors": {"neighbors": 5000},
    "accurate": {"hidden_sizes": (256,), "neighbors": 5000},  # preset("accurate")
}

NAMES = (*VARIANTS, *RELEASES, *CLASSIFIERS)


def make(name: str, n_features: int, n_classes: int, seed: int, **settings: Any) -> Learner:
    """Return a fresh contender.

    `settings` are passed to our estimator and change nothing in a peer.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    if name in VARIANTS:
        from loco_stream import LOCOClassifier

        model: Learner = LOCOClassifier(**{**settings, **VARIANTS[name]}, seed=seed)
        if name == OVER_SAMPLED:
            return RiverLearner(over_sampled(model, n_classes, seed))
        return RiverLearner(model) if name == BY_DICTS else model
    if name in CLASSIFIERS:
        return CLASSIFIERS[name].make(n_features, n_classes, seed)
    raise ConfigError(f"contender is {name!r}; allowed are {', '.join(NAMES)}.")


def by_dicts(learner: Learner) -> Any:
    """Return the river estimator of a contender: what has `learn_one` and `predict_proba_one`."""
    return learner.model if isinstance(learner, RiverLearner) else learner


def make_regressor(name: str, n_features: int, seed: int) -> Learner:
    """Return a fresh regressor: `LOCORegressor` by dicts as one of `VARIANTS`, else a peer."""
    if name in VARIANTS:
        from loco_stream import LOCORegressor

        return RiverLearner(LOCORegressor(**VARIANTS[name], seed=seed))
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
    if name in RELEASES:
        return f"{release.fingerprint_of()} {VARIANTS[RELEASES[name]] or ''}".strip()
    if name in CLASSIFIERS or name in REGRESSORS:
        return fingerprint(*files)
    return f"{fingerprint()} {VARIANTS.get(name) or ''}".strip()


def present(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split contenders into those that can run here and sentences on those that cannot."""
    if not RELEASES.keys().isdisjoint(names) and release.checkout() is None:
        return [name for name in names if name not in RELEASES], [release.MISSING]
    return list(names), []


def run(
    key: str, measure: Callable[..., dict[str, Any]], arguments: dict[str, Any], code_more: str = ""
) -> Run:
    """Return the run of `measure(contender=..., **arguments)`.

    That of release 0.1 goes to a process of its own.
    """
    contender = arguments["contender"]
    fingerprinted = f"{code(contender)} {code_more}".strip()
    if contender not in RELEASES:
        return Run(key, measure, arguments, fingerprinted)
    arguments = {**arguments, "contender": RELEASES[contender]}
    told = {"function": f"{measure.__module__}:{measure.__name__}", "arguments": arguments}
    return Run(key, release.measure, told, fingerprinted)


def pick(
    chosen: str | None, allowed: tuple[str, ...], option: str, separator: str = ","
) -> list[str]:
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
            raise ConfigError(
                f"{option} names {name!r}; allowed are {f'{separator} '.join(allowed)}."
            )
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
        raise ConfigError(
            f"{option} is {text!r}; allowed are whole numbers from 1, separated by commas."
        )
    return [int(part) for part in parts]

"""Contenders by name: this package's estimators, their ablations, and peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import release
from benchmarks.learner import Learner, RiverLearner
from benchmarks.machine import fingerprint
from benchmarks.rivals import CLASSIFIERS, REGRESSORS, over_sampled
from benchmarks.runs import Run
from loco_stream.errors import ConfigError

__all__ = [
    "BY_DICTS",
    "BY_EVIDENCE",
    "NAMES",
    "OVER_SAMPLED",
    "RELEASE",
    "RELEASES",
    "VARIANTS",
    "by_dicts",
    "code",
    "make",
    "make_regressor",
    "parameters",
    "pick",
    "present",
    "run",
    "seeded",
    "whole_numbers",
]

BY_DICTS = "default by dicts"
BY_EVIDENCE = "default by evidence"  # predicts with `in_stream=None`
OVER_SAMPLED = "default over-sampled"  # the default inside river's imblearn
RELEASE = "release 0.1"
RELEASES = {RELEASE: "default", f"{RELEASE} (128)": "128 neurons"}  # release -> variant

_LAST = {"readout_layers": "last"}
# The readout sees only the traces of these 32 neurons, so their weights matter most here.
_NARROW: dict[str, Any] = {"hidden_sizes": (32,), "advanced": _LAST}
_DEEP: dict[str, Any] = {"hidden_sizes": (128, 128, 128), "advanced": _LAST}
_NO_PROJECTION: dict[str, Any] = {"rule": "np", "learning_rate": 10.0}
# Constructor parameters by name; "advanced" holds those of `AdvancedOptions`. Each variant changes
# one thing; the frozen ones have the size of the model they are compared with.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    BY_DICTS: {},
    BY_EVIDENCE: {},
    "frozen": {"rule": "frozen"},
    "fast part alone": {"advanced": {"fixed_neurons": 0}},
    "learned credit": {"advanced": {"credit": "learned"}},
    "paper's credit": {"advanced": {"credit": "perturbation"}},
    # Without the recursive projector steps are longer: these rates are the best for three layers
    # (see `depth`). The first is plain node perturbation.
    "np": {"rule": "np", "learning_rate": 0.1, "advanced": {"credit": "perturbation"}},
    "no projection": _NO_PROJECTION,
    "input clusters": {
        "learning_rate": 10.0,
        "advanced": {"projection": "clusters", "n_input_clusters": 10},
    },
    "half plastic": {"advanced": {"plastic": 0.5}},
    "balanced": {"class_weight": "balanced"},
    OVER_SAMPLED: {},
    "delta readout": {"advanced": {"readout": "delta"}},
    "leak 0 only": {"advanced": {"leaks": (0.0,)}},
    "leak 1e-4 only": {"advanced": {"leaks": (1e-4,)}},
    "leak 1e-2 only": {"advanced": {"leaks": (1e-2,)}},
    "one leak": {"advanced": {"leaks": (1e-9,)}},  # rows of more than 256 features have two
    "retention 0": {"retention": 0.0},
    "ALIF": {"neuron": "alif"},
    "32 last": _NARROW,
    "32 last frozen": {**_NARROW, "rule": "frozen"},
    "32 last no projection": {**_NARROW, **_NO_PROJECTION},
    "3 layers last": _DEEP,
    "3 layers last frozen": {**_DEEP, "rule": "frozen"},
    "128 neurons": {"hidden_sizes": (128,)},  # the default up to 32 features; 0.1 had 256
    "64 neurons": {"hidden_sizes": (64,)},  # preset("fast")
    "64 neurons frozen": {"hidden_sizes": (64,), "rule": "frozen"},
    "256 neurons": {"hidden_sizes": (256,)},
    "256 neurons frozen": {"hidden_sizes": (256,), "rule": "frozen"},
    "no centroids": {"centroids": 0},
    "no centroids frozen": {"centroids": 0, "rule": "frozen"},
    "memory": {"memory": (0.3, 50.0)},  # not needed on any of these streams
    "neighbors": {"neighbors": 5000},
    "accurate": {"hidden_sizes": (256,), "neighbors": 5000},  # preset("accurate")
}

# The calibration alone predicts by evidence; elsewhere that name would run the plain default.
NAMES = (*(name for name in VARIANTS if name != BY_EVIDENCE), *RELEASES, *CLASSIFIERS)


def parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return constructor parameters of an estimator, "advanced" as `AdvancedOptions`.

    Release 0.1, which has no such options, runs variants without them.

    Examples
    --------
    >>> parameters({"rule": "np", "advanced": {"credit": "learned"}})
    {'rule': 'np', 'advanced': AdvancedOptions(credit='learned')}
    """
    if "advanced" not in options:
        return dict(options)
    from loco_stream import AdvancedOptions

    return {**options, "advanced": AdvancedOptions(**options["advanced"])}


def make(name: str, n_features: int, n_classes: int, seed: int) -> Learner:
    """Return a fresh contender.

    Raises
    ------
    ConfigError
        The name is unknown.
    """
    if name in VARIANTS:
        from loco_stream import LOCOClassifier

        model: Learner = LOCOClassifier(**parameters(VARIANTS[name]), seed=seed)
        if name == OVER_SAMPLED:
            return RiverLearner(over_sampled(model, n_classes, seed))
        return RiverLearner(model) if name == BY_DICTS else model
    if name in CLASSIFIERS:
        return CLASSIFIERS[name].make(n_features, n_classes, seed)
    raise ConfigError(f"`contender` must be one of {', '.join(NAMES)}, got {name!r}")


def by_dicts(learner: Learner) -> Any:
    """Return a contender as an estimator with `learn_one` and `predict_proba_one`."""
    return learner.model if isinstance(learner, RiverLearner) else learner


def make_regressor(name: str, n_features: int, seed: int) -> Learner:
    """Return a fresh regressor: a variant of `LOCORegressor` by dicts, or a peer."""
    if name in VARIANTS:
        from loco_stream import LOCORegressor

        return RiverLearner(LOCORegressor(**parameters(VARIANTS[name]), seed=seed))
    return REGRESSORS[name].make(n_features, 0, seed)


def seeded(name: str) -> bool:
    """Return whether the contender's results depend on the seed."""
    rival = CLASSIFIERS.get(name) or REGRESSORS.get(name)
    return rival.seeded if rival else True


def code(name: str) -> str:
    """Return the fingerprint of the code that a contender's results depend on."""
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
    """Return the contenders that can run on this machine, and notes on the others."""
    if not RELEASES.keys().isdisjoint(names) and release.checkout() is None:
        return [name for name in names if name not in RELEASES], [release.MISSING]
    return list(names), []


def run(
    key: str, measure: Callable[..., dict[str, Any]], arguments: dict[str, Any], code_more: str = ""
) -> Run:
    """Return the run of `measure(contender=..., **arguments)`.

    Release 0.1 runs in another process.
    """
    contender = arguments["contender"]
    fingerprinted = f"{code(contender)} {code_more}".strip()
    if contender not in RELEASES:
        return Run(key, measure, arguments, fingerprinted)
    arguments = {**arguments, "contender": RELEASES[contender]}
    function = f"{measure.__module__}:{measure.__name__}"
    call = {"function": function, "arguments": arguments}
    return Run(key, release.measure, call, fingerprinted)


def pick(
    chosen: str | None, allowed: tuple[str, ...], option: str, separator: str = ","
) -> list[str]:
    """Return the names in an option; None means all.

    Raises
    ------
    ConfigError
        A name is not allowed.

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
            known = f"{separator} ".join(allowed)
            raise ConfigError(f"`{option}` must name some of {known}, got {name!r}")
    return names


def whole_numbers(text: str, option: str) -> list[int]:
    """Return the integers in an option such as "1,3,10".

    Raises
    ------
    ConfigError
        A part is no integer from 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"`{option}` must be integers from 1, separated by commas, got {text!r}")
    return [int(part) for part in parts]

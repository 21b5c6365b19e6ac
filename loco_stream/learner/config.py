"""All settings of the estimators: validated once, and the only place with defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from loco_stream.errors import ConfigError
from loco_stream.neurons import DenseLayer, dense_layer_of, find

__all__ = ["DEFAULTS", "PRESETS", "ModelConfig", "Settings"]

FEEDBACK_RATE = 1e-3  # of the regression of output changes on noise
READOUT_RATE = 0.5  # of the normalised delta rule
N_SNAPSHOTS = 4  # old readouts that may be recalled
NORM_CAP = 1.5  # a neuron's weights may grow to this multiple of their norm at the start
SMOOTHING = 0.7  # of the start weights along a feature: standard deviation of the kernel, in fields
LINEAR_LEAKS = (1e-4, 1e-2)  # of the readout's members on the scaled features
LINEAR_PRIORS = (0.1, 0.01)
STACK_PRIOR = 1.0
PRIORS = (0.01, 0.1)  # of a member's projector: leaky, without leak
START_SHARPNESS = 8.0
START_WEIGHTS = (1.0, 1e-3)  # of the readout in force, of a blind guess
SPACING = 200  # samples from one snapshot to the next
DEEP = 3  # from this many hidden layers on, short membranes and homeostatic thresholds


class Settings(NamedTuple):
    """What the compiled step reads: plain numbers, resolved from a `ModelConfig`.

    `cell` holds the parameters of the neuron model; its type names the model, and the step is compiled for each apart.
    Times are in ms; `n_fields` is the number of receptive fields a feature; the readout has
    `n_trace` members on the traces and `n_linear` on the scaled features; `n_snapshots` of it are kept.
    """

    n_layers: int
    n_hidden: int
    n_last: int
    n_fields: int
    line_threshold: float
    window: float
    tau: float
    tau_trace: float
    all_layers: bool
    recursive: bool
    regression: bool
    learns: bool
    learned_credit: bool
    projects: bool
    cluster_size: int
    noise: float
    n_perturbations: int
    antithetic: bool
    learning_rate: float
    feedback_rate: float
    readout_rate: float
    ridge: float
    n_clusters: int
    rank: int
    homeostasis: float
    retention: float
    n_trace: int
    n_linear: int
    n_snapshots: int
    seed_key: int
    cell: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Settings of `LOCOClassifier` and `LOCORegressor`; see there for their meaning.

    Raises
    ------
    ConfigError
        A value is out of its range: the text names the field, the value and what is allowed.
    """

    hidden_sizes: int | Sequence[int] = (256,)
    rule: str = "loco"
    credit: str = "learned"
    readout: str = "recursive"
    readout_layers: str = "all"
    cluster_size: int = 32
    perturbation_std: float = 0.4
    n_perturbations: int = 1
    antithetic: bool = False
    learning_rate: float | None = None
    orthogonality: float = 0.5
    n_input_clusters: int = 10
    rank: int = 1
    receptive_fields: int | None = None
    tau: float | None = None
    tau_trace: float | None = None
    gain: float | None = None
    window: float = 20.0
    leaks: Sequence[float] = (0.0, 1e-4, 1e-2)
    retention: float = 0.75
    seed: int | None = None
    neuron: str = "lif"

    def __post_init__(self) -> None:
        _layers("hidden_sizes", self.hidden_sizes)
        _choice("rule", self.rule, ("loco", "np", "frozen"))
        _choice("credit", self.credit, ("learned", "perturbation"))
        _choice("readout", self.readout, ("recursive", "delta"))
        _choice("readout_layers", self.readout_layers, ("all", "last"))
        _integer("cluster_size", self.cluster_size, 1, 1024)
        _real("perturbation_std", self.perturbation_std, 1e-6, 10.0)
        _integer("n_perturbations", self.n_perturbations, 1, 64)
        if not isinstance(self.antithetic, bool):
            raise ConfigError(f"antithetic is {self.antithetic!r}; allowed are True and False")
        _real("learning_rate", self.learning_rate, 0.0, 1e3, optional=True)
        _real("orthogonality", self.orthogonality, 0.0, 1.0)
        _integer("n_input_clusters", self.n_input_clusters, 1, 256)
        _integer("rank", self.rank, 1, 16)
        _integer("receptive_fields", self.receptive_fields, 1, 64, optional=True)
        _real("tau", self.tau, 1e-3, 1e6, optional=True)
        _real("tau_trace", self.tau_trace, 1e-3, 1e6, optional=True)
        _real("gain", self.gain, 1e-3, 1e3, optional=True)
        _real("window", self.window, 1e-3, 1e6)
        _ascending("leaks", self.leaks, 0.0, 0.5)
        _real("retention", self.retention, 0.0, 1.0)
        _integer("seed", self.seed, 0, 2**64 - 1, optional=True)
        dense_layer_of(find(self.neuron).kind)

    @property
    def dense_layer(self) -> DenseLayer:
        """What the hidden layers run."""
        return dense_layer_of(find(self.neuron).kind)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        sizes = self.hidden_sizes
        return (sizes,) if isinstance(sizes, int) else tuple(sizes)

    @property
    def is_deep(self) -> bool:
        """Whether signals cross so many layers that membranes must be short."""
        return len(self.layer_sizes) >= DEEP

    @property
    def start_gain(self) -> float:
        """Norm of a neuron's incoming weights at the start, in thresholds."""
        if self.gain is not None:
            return self.gain
        own = self.dense_layer.gain
        if own is not None:
            return own
        return 2.7 if self.is_deep else 6.0

    @property
    def rate(self) -> float:
        """The learning rate in force; the measured one of (readout, credit) unless given."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.credit == "learned":
            if self.readout == "recursive":
                return 0.1 if self.readout_layers == "all" else 0.3
            return self.dense_layer.delta_rate
        if self.readout == "recursive":
            return 1e-3
        return 3e-4 if self.rule == "loco" else 1e-4

    def fields_for(self, n_features: int) -> int:
        """Return the receptive fields a feature: 9 up to 64 features, 3 up to 256, else 1, unless given."""
        if self.receptive_fields is not None:
            return self.receptive_fields
        return 9 if n_features <= 64 else 3 if n_features <= 256 else 1

    def settings(self, n_fields: int, *, regression: bool, seed_key: int) -> Settings:
        """Resolve to the numbers that the compiled step reads."""
        recursive = self.readout == "recursive"
        all_layers = self.readout_layers == "all"
        tau = self.tau if self.tau is not None else 10.0 if self.is_deep else 200.0
        return Settings(
            n_layers=len(self.layer_sizes),
            n_hidden=sum(self.layer_sizes),
            n_last=self.layer_sizes[-1],
            n_fields=n_fields,
            line_threshold=0.2 if self.is_deep else 0.1,
            window=float(self.window),
            tau=float(tau),
            tau_trace=float(self.tau_trace if self.tau_trace is not None else 100.0),
            all_layers=all_layers,
            recursive=recursive,
            regression=regression,
            learns=self.rule != "frozen" and self.rate > 0.0,
            learned_credit=self.credit == "learned",
            projects=self.rule == "loco" and self.orthogonality > 0.0,
            cluster_size=1 << math.ceil(math.log2(self.cluster_size)),
            noise=float(self.perturbation_std),
            n_perturbations=self.n_perturbations,
            antithetic=self.antithetic,
            learning_rate=float(self.rate),
            feedback_rate=FEEDBACK_RATE,
            readout_rate=READOUT_RATE,
            ridge=0.1 * (1.0 - self.orthogonality) / max(self.orthogonality, 1e-9) + 1e-3,
            n_clusters=self.n_input_clusters,
            rank=self.rank,
            homeostasis=1e-4 if self.is_deep else 0.0,
            retention=float(self.retention),
            n_trace=len(self.leaks) if recursive else 1,
            n_linear=2 if recursive and all_layers else 0,
            n_snapshots=N_SNAPSHOTS if recursive and not regression and self.retention > 0.0 else 0,
            seed_key=seed_key,
            cell=self.dense_layer.settings(float(tau)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, in the constructor's order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _choice(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{field} is {value!r}; allowed are {', '.join(map(repr, allowed))}")


def _integer(field: str, value: object, low: int, high: int, *, optional: bool = False) -> None:
    if not (_whole(value, low, high) or (optional and value is None)):
        none = "None or " if optional else ""
        raise ConfigError(f"{field} is {value!r}; allowed is {none}a whole number from {low} to {high}")


def _real(field: str, value: object, low: float, high: float, *, optional: bool = False) -> None:
    if not (_number(value, low, high) or (optional and value is None)):
        none = "None or " if optional else ""
        raise ConfigError(f"{field} is {value!r}; allowed is {none}a number from {low:g} to {high:g}")


def _layers(field: str, value: object) -> None:
    sizes = value if isinstance(value, list | tuple) else (value,)
    if not 1 <= len(sizes) <= 64 or not all(_whole(size, 1, 65536) for size in sizes):
        raise ConfigError(
            f"{field} is {value!r}; allowed is a whole number from 1 to 65536, or a tuple or list of 1 to 64 of them"
        )


def _ascending(field: str, value: object, low: float, high: float) -> None:
    sound = isinstance(value, list | tuple) and 1 <= len(value) <= 16 and all(_number(x, low, high) for x in value)
    if not sound or list(value) != sorted(value):  # type: ignore[call-overload]
        raise ConfigError(
            f"{field} is {value!r}; allowed is a tuple of 1 to 16 numbers from {low:g} to {high:g} in ascending order"
        )


DEFAULTS = ModelConfig()
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"hidden_sizes": (64,), "rule": "frozen", "leaks": (0.0, 1e-3)},
    "default": {},
    "accurate": {"hidden_sizes": (512,)},
}

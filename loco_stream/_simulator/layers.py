"""The description of a net: layers of neurons and their connections, checked before a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from loco_stream._arrays import Float64, FloatDType, Records
from loco_stream._simulator.weights import WeightMatrix, read_weights
from loco_stream._text import counted
from loco_stream.errors import ConfigError
from loco_stream.neurons import NeuronModel, find

_LONGEST_REFRACTORY = 500.0  # in units of tau: exp(500) is a finite double, exp(710) is not
# As the user gave it: one value for all layers, or a list with one item per layer.
Option: TypeAlias = Any


class Options(NamedTuple):
    """Options of `Network.from_weights` that may differ between layers."""

    tau: Option
    threshold: Option
    delays: Option
    recurrent: Option
    recurrent_delays: Option
    drive: Option
    refractory: Option

    def per_layer(self, n: int) -> list[Options]:
        """Return the options of each of `n` layers; raises `ConfigError`."""
        named = self._replace(delays=0.0 if self.delays is None else self.delays)._asdict()
        spread = [_per_layer(name, value, n) for name, value in named.items()]
        return [Options(*own) for own in zip(*spread, strict=True)]


@dataclass(frozen=True)
class Layer:
    """One layer of n_post neurons with n_pre inputs. Times are in ms."""

    forward: WeightMatrix  # (n_pre, n_post)
    recurrent: WeightMatrix | None  # (n_post, n_post)
    model: NeuronModel
    tau: float
    threshold: Float64  # (n_post,)
    drive: Float64  # (n_post,)
    refractory: float
    reset_zero: bool
    parameters: dict[str, float] = field(default_factory=dict)

    @property
    def n_pre(self) -> int:
        """Number of neurons that project to the layer."""
        return self.forward.shape[0]

    @property
    def n_post(self) -> int:
        """Number of its own neurons."""
        return self.forward.shape[1]

    def start(self, v: Float64) -> tuple[Records, Records]:
        """Return the model's state at time 0 for membranes (n_post,); see `NeuronModel.start`."""
        return self.model.start(
            v,
            self.threshold,
            self.drive,
            self.tau,
            self.refractory,
            self.reset_zero,
            self.parameters,
        )

    def driven(self, currents: Float64) -> Layer:
        """Return the layer with constant input currents (n_pre,) added to its drive."""
        if self.forward.dense is not None:
            added = currents @ self.forward.dense.astype(np.float64)
        else:
            assert self.forward.sparse is not None
            source, target, weight = self.forward.sparse
            added = np.bincount(target, currents[source] * weight, self.n_post).astype(np.float64)
        return replace(self, drive=self.drive + added)

    @property
    def direct(self) -> bool:
        """Whether the layer runs without a queue: it changes only when input arrives."""
        return (
            self.forward.dense is not None
            and self.recurrent is None
            and not self.forward.delayed
            and not self.drive.any()
            and self.refractory == 0.0
            and not self.fires_between_events
        )

    @property
    def fires_between_events(self) -> bool:
        """Whether a neuron can reach its threshold while no spike arrives."""
        driven = bool((self.drive > self.threshold).any())
        return driven or self.model.fires_between_events(self.tau, self.parameters)


class _Neurons(NamedTuple):
    """What all layers of a net share."""

    model: NeuronModel
    parameters: dict[str, float]
    reset_zero: bool
    dtype: FloatDType


def checked_dtype(dtype: DTypeLike) -> FloatDType:
    """Return the dtype of weights; raises `ConfigError` unless it is float32 or float64."""
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ConfigError(f"`dtype` must be float32 or float64, got {dtype!r}") from None
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigError(f"`dtype` must be float32 or float64, got {kind}")
    return kind


def describe(
    weights: Option,
    options: Options,
    reset: str,
    neuron: str,
    dtype: FloatDType,
    parameters: dict[str, Option],
) -> list[Layer]:
    """Check a description and return its layers.

    Parameters are those of `Network.from_weights`; raises `ConfigError`.
    """
    matrices = _matrices(weights)
    if reset not in ("subtract", "zero"):
        raise ConfigError(f"`reset` must be 'subtract' or 'zero', got {reset!r}")
    model = find(neuron)
    shared = _Neurons(model, _parameters(model, parameters), reset == "zero", dtype)
    layers: list[Layer] = []
    for i, own in enumerate(options.per_layer(len(matrices))):
        layers.append(_layer(i, matrices[i], own, shared))
    for i in range(1, len(layers)):
        _check_sizes(i, layers[i - 1].n_post, layers[i].n_pre)
    return layers


def _check_sizes(i: int, n: int, n_rows: int) -> None:
    if n_rows != n:
        raise ConfigError(
            f"`weights[{i}]` must have {counted(n, 'row')}, one per neuron of layer {i - 1}, "
            f"got {n_rows}"
        )


def _matrices(weights: Option) -> list[Option]:
    """Return one matrix per layer, not yet checked."""
    if hasattr(weights, "tocsr") or (isinstance(weights, np.ndarray) and weights.ndim == 2):
        return [weights]
    try:
        matrices = list(weights)
    except TypeError:
        raise ConfigError(
            f"`weights` must be a list of matrices, one per layer, got {type(weights).__name__}"
        ) from None
    if not matrices:
        raise ConfigError("`weights` must have one matrix (n_pre, n_post) per layer, got none")
    return matrices


def _parameters(model: NeuronModel, given: dict[str, Option]) -> dict[str, float]:
    """Return the model's parameters with the given values; raises `ConfigError`."""
    parameters = dict(model.parameters)
    for name, value in given.items():
        if name not in parameters:
            allowed = ", ".join(parameters) or "none"
            raise ConfigError(
                f"parameters of neuron={model.name!r} must be among: {allowed}, got {name}"
            )
        parameters[name] = _number(name, value)
    model.check(parameters)
    return parameters


def _per_layer(name: str, value: Option, n: int) -> list[Option]:
    """Return `value` for each of `n` layers: a list has one item each, all else is shared."""
    if isinstance(value, (list, tuple)):
        if len(value) != n:
            raise ConfigError(
                f"`{name}` must be one value or a list of {n}, one per layer, "
                f"got {len(value)} items"
            )
        return list(value)
    if isinstance(value, np.ndarray) and value.ndim > 0 and n > 1:
        raise ConfigError(
            f"`{name}` must be one value or a list of {n}, one per layer, got one array"
        )
    return [value] * n


def _layer(i: int, matrix: Option, own: Options, neurons: _Neurons) -> Layer:
    """Return layer `i`; raises `ConfigError`."""
    dtype = neurons.dtype
    forward = read_weights(f"weights[{i}]", matrix, f"delays[{i}]", own.delays, dtype)
    n_post = forward.shape[1]
    tau = _number(f"tau[{i}]", own.tau)
    if not tau > 0.0:
        raise ConfigError(f"`tau[{i}]` must be above 0 ms, got {tau}")
    layer = Layer(
        forward=forward,
        recurrent=_recurrent(i, own, n_post, dtype),
        model=neurons.model,
        tau=tau,
        threshold=_threshold(i, own.threshold, n_post, dtype),
        drive=_vector(f"drive[{i}]", own.drive, n_post),
        refractory=_refractory(i, own.refractory, tau, neurons.model),
        reset_zero=neurons.reset_zero,
        parameters=neurons.parameters,
    )
    recurrent = layer.recurrent
    if layer.fires_between_events and recurrent is not None and not recurrent.shortest_delay > 0.0:
        raise ConfigError(
            f"`recurrent_delays[{i}]` must be above 0 ms where neurons fire without input "
            "(because of a drive above threshold, or of their model), got 0"
        )
    return layer


def _threshold(i: int, value: Option, n: int, dtype: FloatDType) -> Float64:
    """Return the thresholds of layer `i`; raises `ConfigError`."""
    threshold = _vector(f"threshold[{i}]", value, n)
    if not (threshold.astype(dtype) > 0.0).all():
        raise ConfigError(
            f"`threshold[{i}]` must be above 0, where membranes rest, got {threshold.min()}"
        )
    return threshold


def _refractory(i: int, value: Option, tau: float, model: NeuronModel) -> float:
    """Return the refractory period of layer `i` in ms; raises `ConfigError`."""
    refractory = _number(f"refractory[{i}]", value)
    longest = _LONGEST_REFRACTORY * tau
    if not 0.0 <= refractory <= longest:
        raise ConfigError(
            f"`refractory[{i}]` must be between 0 and {longest:g} ms, got {refractory}"
        )
    if not model.leaky and refractory > 0.0:
        raise ConfigError(
            f"`refractory[{i}]` must be 0 for neuron={model.name!r}, which has no refractory "
            f"period, got {refractory}"
        )
    return refractory


def _recurrent(i: int, own: Options, n_post: int, dtype: FloatDType) -> WeightMatrix | None:
    """Return the recurrent weights of layer `i`; raises `ConfigError`."""
    if own.recurrent is None:
        return None
    name = f"recurrent[{i}]"
    matrix = read_weights(
        name, own.recurrent, f"recurrent_delays[{i}]", own.recurrent_delays, dtype
    )
    if matrix.shape != (n_post, n_post):
        raise ConfigError(f"`{name}` must have shape ({n_post}, {n_post}), got {matrix.shape}")
    return matrix


def _number(name: str, value: Option) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"`{name}` must be a number, got {value!r}") from None
    if not np.isfinite(number):
        raise ConfigError(f"`{name}` must be finite, got {number}")
    return number


def _vector(name: str, value: Option, n: int) -> Float64:
    """Return one finite number per neuron."""
    try:
        vector = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"`{name}` must be a number or one number per neuron, got {value!r}"
        ) from None
    if vector.shape not in ((), (n,)):
        raise ConfigError(
            f"`{name}` must be a number or one number per neuron ({n},), got shape {vector.shape}"
        )
    bad = vector[~np.isfinite(vector)]
    if bad.size:
        raise ConfigError(f"`{name}` must be finite, got {bad.flat[0]}")
    return np.broadcast_to(vector, n).copy()

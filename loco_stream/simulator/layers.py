"""What the user describes.

One layer of neurons and its connections, checked before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError
from loco_stream.neurons import NeuronModel, find
from loco_stream.simulator.matrix import Matrix, read_matrix

__all__ = ["Layer", "checked_dtype", "describe"]

_LONGEST_REFRACTORY = 500.0  # in units of tau: exp(500) is a finite double, exp(710) is not


@dataclass(frozen=True)
class Layer:
    """One layer of n_post neurons with n_pre inputs.

    Times in ms, all numbers but the weights in double precision.
    """

    forward: Matrix  # (n_pre, n_post)
    recurrent: Matrix | None  # (n_post, n_post)
    model: NeuronModel
    tau: float
    threshold: NDArray[np.float64]  # (n_post,)
    drive: NDArray[np.float64]  # (n_post,)
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

    def start(self, v: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the model's cells and numbers at time 0 for membranes `v`."""
        return self.model.start(
            v,
            self.threshold,
            self.drive,
            self.tau,
            self.refractory,
            self.reset_zero,
            self.parameters,
        )

    def driven(self, currents: NDArray[np.float64]) -> Layer:
        """Return the layer with constant input currents (n_pre,) added to its drive."""
        if self.forward.dense is not None:
            return replace(
                self, drive=self.drive + currents @ self.forward.dense.astype(np.float64)
            )
        assert self.forward.sparse is not None
        source, target, weight = self.forward.sparse
        return replace(
            self, drive=self.drive + np.bincount(target, currents[source] * weight, self.n_post)
        )

    @property
    def direct(self) -> bool:
        """Whether the layer needs neither a queue nor neurons that change between events."""
        return (
            self.forward.dense is not None
            and self.recurrent is None
            and not self.forward.delayed
            and not self.drive.any()
            and self.refractory == 0.0
            and not self.fires_alone
        )

    @property
    def fires_alone(self) -> bool:
        """Whether a neuron can reach its threshold between events."""
        driven = bool((self.drive > self.threshold).any())
        return driven or self.model.fires_alone(self.tau, self.parameters)


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the type of numbers inside a net; raises `ConfigError`."""
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ConfigError(f"dtype is {dtype!r}; allowed are float32 and float64") from None
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigError(f"dtype is {kind}; allowed are float32 and float64")
    return kind


def describe(
    weights: Any,
    tau: Any,
    threshold: Any,
    reset: str,
    neuron: str,
    delays: Any,
    recurrent: Any,
    recurrent_delays: Any,
    drive: Any,
    refractory: Any,
    dtype: Any,
    parameters: dict[str, Any],
) -> list[Layer]:
    """Check a description and return its layers.

    Raises `ConfigError` with the field, its value and what is allowed.
    """
    if hasattr(weights, "tocsr") or (isinstance(weights, np.ndarray) and weights.ndim == 2):
        weights = [weights]
    try:
        matrices = list(weights)
    except TypeError:
        raise ConfigError(
            f"weights must be a list of matrices, one a layer, not {type(weights).__name__}"
        ) from None
    if not matrices:
        raise ConfigError("weights is empty: give one matrix (n_pre, n_post) a layer")
    if reset not in ("subtract", "zero"):
        raise ConfigError(f"reset is {reset!r}; allowed are 'subtract' and 'zero'")
    model = find(neuron)
    numbers = _parameters(model, parameters)
    n = len(matrices)
    spread = {
        "tau": _per_layer("tau", tau, n),
        "threshold": _per_layer("threshold", threshold, n),
        "delays": _per_layer("delays", 0.0 if delays is None else delays, n),
        "recurrent": _per_layer("recurrent", recurrent, n),
        "recurrent_delays": _per_layer("recurrent_delays", recurrent_delays, n),
        "drive": _per_layer("drive", drive, n),
        "refractory": _per_layer("refractory", refractory, n),
    }
    layers: list[Layer] = []
    for i, matrix in enumerate(matrices):
        layer = _layer(
            i, matrix, {k: v[i] for k, v in spread.items()}, reset == "zero", model, numbers, dtype
        )
        if layers and layers[-1].n_post != layer.n_pre:
            raise ConfigError(
                f"weights[{i}] has {layer.n_pre} rows, but layer {i - 1} has {layers[-1].n_post} neurons; "
                "they must agree"
            )
        layers.append(layer)
    return layers


def _parameters(model: NeuronModel, given: dict[str, Any]) -> dict[str, float]:
    parameters = dict(model.parameters)
    for name, value in given.items():
        if name not in parameters:
            allowed = ", ".join(parameters) or "none"
            raise ConfigError(
                f"{name} is no parameter of neuron={model.name!r}; its parameters are: {allowed}"
            )
        parameters[name] = _number(name, value)
    model.check(parameters)
    return parameters


def _per_layer(name: str, value: Any, n: int) -> list[Any]:
    """Return `value` for each of `n` layers.

    A list or tuple has one item a layer, all else is shared.
    """
    if isinstance(value, (list, tuple)):
        if len(value) != n:
            raise ConfigError(
                f"{name} has {len(value)} items for {n} layers: give one value, or one a layer"
            )
        return list(value)
    if isinstance(value, np.ndarray) and value.ndim > 0 and n > 1:
        raise ConfigError(f"{name} is one array for {n} layers: give a list with one item a layer")
    return [value] * n


def _layer(
    i: int,
    matrix: Any,
    own: dict[str, Any],
    reset_zero: bool,
    model: NeuronModel,
    parameters: dict[str, float],
    dtype: Any,
) -> Layer:
    forward = read_matrix(f"weights[{i}]", matrix, f"delays[{i}]", own["delays"], dtype)
    n_post = forward.shape[1]
    tau = _number(f"tau[{i}]", own["tau"])
    if not tau > 0.0:
        raise ConfigError(f"tau[{i}] is {tau}; it must be above 0 ms")
    refractory = _number(f"refractory[{i}]", own["refractory"])
    if not 0.0 <= refractory <= _LONGEST_REFRACTORY * tau:
        longest = _LONGEST_REFRACTORY * tau
        raise ConfigError(
            f"refractory[{i}] is {refractory}; it must lie between 0 and {longest:g} ms"
        )
    if not model.leaky and refractory > 0.0:
        raise ConfigError(
            f"refractory[{i}] is {refractory}; neuron={model.name!r} has no refractory period"
        )
    threshold = _vector(f"threshold[{i}]", own["threshold"], n_post)
    if not (threshold.astype(dtype) > 0.0).all():
        raise ConfigError(
            f"threshold[{i}] holds {threshold.min()}; it must be above 0, where membranes rest"
        )
    recurrent = None
    if own["recurrent"] is not None:
        recurrent = read_matrix(
            f"recurrent[{i}]",
            own["recurrent"],
            f"recurrent_delays[{i}]",
            own["recurrent_delays"],
            dtype,
        )
        if recurrent.shape != (n_post, n_post):
            raise ConfigError(
                f"recurrent[{i}] has shape {recurrent.shape}; layer {i} needs ({n_post}, {n_post})"
            )
    layer = Layer(
        forward=forward,
        recurrent=recurrent,
        model=model,
        tau=tau,
        threshold=threshold,
        drive=_vector(f"drive[{i}]", own["drive"], n_post),
        refractory=refractory,
        reset_zero=reset_zero,
        parameters=parameters,
    )
    if layer.fires_alone and recurrent is not None and not recurrent.shortest_delay > 0.0:
        raise ConfigError(
            f"recurrent_delays[{i}] holds 0; it must be above 0 ms where neurons fire by themselves "
            "(by a drive above threshold, or by their model)"
        )
    return layer


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} is {value!r}; it must be a number") from None
    if not np.isfinite(number):
        raise ConfigError(f"{name} is {number}; it must be finite")
    return number


def _vector(name: str, value: Any, n: int) -> NDArray[np.float64]:
    """Return one finite number a neuron."""
    try:
        vector = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"{name} is {value!r}; it must be a number or one number a neuron"
        ) from None
    if vector.shape not in ((), (n,)):
        raise ConfigError(
            f"{name} has shape {vector.shape}; it must be one number, or ({n},): one a neuron"
        )
    if not np.isfinite(vector).all():
        raise ConfigError(f"{name} holds a value that is not finite")
    return np.full(n, vector) if vector.ndim == 0 else vector.copy()

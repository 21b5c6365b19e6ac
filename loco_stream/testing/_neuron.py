"""`check_neuron`: a check of neuron models."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import CellType, FunctionType
from typing import Any, NamedTuple, TypeAlias

import numba
import numpy as np

from loco_stream import neurons
from loco_stream._arrays import Array, Float32, Float64, Int64
from loco_stream._compiler.jit import entry
from loco_stream._simulator.network import Network, SpikeRecord
from loco_stream.errors import ConfigError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.neurons import NeuronModel, WindowOperations
from loco_stream.neurons import _operations as operations
from loco_stream.neurons._operations import Neurons
from loco_stream.neurons._spikes import MOST_SPIKES
from loco_stream.testing._lifecycle import require_argument

Function: TypeAlias = Callable[..., Any]
_N = 5  # neurons
_REQUIRED = ("receive", "at_threshold", "reset", "membrane")
_OPTIONAL = (
    "next_spike",
    "advance_to",
    "none_fired",
    "set_horizon",
    "silent_until_horizon",
    "psp_scale",
)
_DURATION = 60.0  # ms


def check_neuron(model: NeuronModel) -> None:
    """Check a neuron model against everything that `Network` and the estimators require of it.

    The checks cover the definition itself, its kernels (compiled and interpreted results are
    bit-identical), spike times (ascending and inside the window), resets, `shift` and runs with
    ``carry=True``, errors for bad parameters, runs of a `Network` and of a `LOCOClassifier`.

    The model is registered if it is not yet. Kernels must call other kernels by plain names, not as
    attributes of modules. Takes up to a minute, most of it for compiling.

    Parameters
    ----------
    model
        The definition.

    Raises
    ------
    AssertionError
        Something is wrong; the message names it.
    ConfigError
        `model` is something else.

    Examples
    --------
    >>> from loco_stream import neurons
    >>> from loco_stream.testing import check_neuron
    >>> check_neuron(neurons.find("lif"))
    """
    require_argument(isinstance(model, NeuronModel), "model", "a NeuronModel", model)
    _check_definition(model)
    _check_parameters(model)
    _check_start(model)
    _check_kernels(model)
    _check_shift(model)
    if model.window is not None:
        _check_window(model)
    _check_network(model)
    _check_carry(model)
    if model.window is not None:
        _check_estimator(model)


def _require(condition: object, text: str) -> None:
    if not condition:
        raise AssertionError(text)


# The definition


def _check_definition(model: NeuronModel) -> None:
    if model.name not in neurons.names():
        try:
            neurons.register(model)
        except ConfigError as error:
            raise AssertionError(f"the model cannot be registered: {error}") from error
    _require(neurons.find(model.name) is model, f"another model named {model.name!r} is registered")
    for name in _REQUIRED:
        _check_is_kernel(f"events.{name}", getattr(model.events, name))
    for name in _OPTIONAL:
        if getattr(model.events, name) is not None:
            _check_is_kernel(f"events.{name}", getattr(model.events, name))
    if model.window is not None:
        _check_is_kernel("window.times", model.window.times)


def _check_is_kernel(name: str, function: object) -> None:
    _require(callable(function), f"`{name}` must be a function, got {function!r}")
    is_kernel = hasattr(function, "py_func") or _is_interpreted()
    _require(is_kernel, f"`{name}` must be compiled by loco_stream.neurons.kernel")


def _is_interpreted() -> bool:
    return bool(numba.config.DISABLE_JIT)


def _check_parameters(model: NeuronModel) -> None:
    """Check that defaults are accepted and that bad values are refused by `ConfigError` only."""
    defaults = dict(model.parameters)
    for name, value in defaults.items():
        _require(
            isinstance(value, int | float) and math.isfinite(value),
            f"the default of `{name}` must be a finite number, got {value!r}",
        )
    try:
        model.check(defaults)
    except Exception as error:
        raise AssertionError(f"`check` refuses the default parameters: {error}") from error
    for name in defaults:
        _check_refusals(model, name)
    try:
        _network(model, no_such_parameter=1.0)
    except ConfigError:
        return
    raise AssertionError("an unknown parameter must be refused")


def _check_refusals(model: NeuronModel, name: str) -> None:
    """Check that values of a parameter are accepted, or refused by `ConfigError`."""
    for value in (-1e300, -1.0, 0.0, 1e300):
        try:
            model.check({**model.parameters, name: value})
        except ConfigError:
            continue
        except Exception as error:
            raise AssertionError(
                f"`check` must raise ConfigError for {name} = {value:g}, got {error!r}"
            ) from error


# One layer, operation by operation


def _layer(model: NeuronModel, v: Float64) -> Neurons:
    """Return a layer with thresholds of 1, no drive, a time constant of 20 ms and reset to 0."""
    one = np.ones(len(v))
    state, shared = model.start(v, one, 0.0 * one, 20.0, 0.0, True, dict(model.parameters))
    return Neurons(model.kind(), state, shared)


def _at_rest(model: NeuronModel, n: int = _N) -> Float64:
    return np.array(model.rest(dict(model.parameters), np.zeros(n)), np.float64)


def _copy(layer: Neurons) -> Neurons:
    return layer._replace(state=layer.state.copy(), shared=layer.shared.copy())


def _check_start(model: NeuronModel) -> None:
    rest = _at_rest(model)
    _require(rest.shape == (_N,), f"`rest` must return ({_N},) membranes, got {rest.shape}")
    _require(np.isfinite(rest).all(), "`rest` must return finite membranes")
    layer = _layer(model, rest)
    _check_records("state", layer.state, _N)
    _check_records("shared", layer.shared, 1)
    _check_fields(model, layer)
    _require((layer.state["last_spike"] == -np.inf).all(), "`last_spike` must be -inf at the start")


def _check_fields(model: NeuronModel, layer: Neurons) -> None:
    fields = layer.state.dtype.names or ()
    needed = ["last_spike"]
    if model.events.psp_scale is not None:
        needed += ["scaled_v", "margin"]
    for name in needed:
        _require(name in fields, f"the state must have the field `{name}`, got {fields}")


def _check_records(name: str, array: object, n: int) -> None:
    _require(
        isinstance(array, np.ndarray) and array.dtype.type is np.record and array.shape == (n,),
        f"`start` must return {name} as ({n},) records of a dtype by "
        "loco_stream.neurons.struct_dtype",
    )


class _Step(NamedTuple):
    """The functions that advance a layer: compiled, or interpreted."""

    begin: Function  # (layer, t)
    next_spike: Function  # (layer, i, t)
    receive: Function  # (layer, i, weight, t)
    at_threshold: Function  # (layer, i, t)
    reset: Function  # (layer, i, t)
    membrane: Function  # (layer, i, t)


@entry
def _begin(layer, t):  # type: ignore[no-untyped-def]
    operations.set_horizon(layer, t)
    operations.advance_to(layer, t)
    silent = 0
    for i in range(layer.state.shape[0]):
        silent += operations.silent_until_horizon(layer, i)
    return silent, operations.none_fired(layer, 0, layer.state.shape[0])


@cache
def _callable(kernel: Any) -> Function:
    """Return a kernel, or an operation, as a function that Python can call."""
    if _is_interpreted():
        return kernel  # type: ignore[no-any-return]
    return numba.njit(lambda *args: kernel(*args))  # type: ignore[no-any-return]


_ON_ONE = ("next_spike", *_REQUIRED)  # operations on one neuron
_COMPILED = _Step(_begin, *(_callable(getattr(operations, name)) for name in _ON_ONE))


def _interpreted_step(model: NeuronModel) -> _Step:
    """Return the functions of a step that interpret the model's kernels."""
    found: dict[object, object] = {}
    own = {
        name: interpreted(getattr(operations._kernels(model.kind), name), found)
        for name in (*_REQUIRED, *_OPTIONAL)
    }

    def call(name: str) -> Function:
        return lambda layer, *args: own[name](layer.state, layer.shared[0], *args)

    def begin(layer: Neurons, t: float) -> tuple[int, bool]:
        call("set_horizon")(layer, t)
        call("advance_to")(layer, t)
        silent = sum(bool(call("silent_until_horizon")(layer, i)) for i in range(_N))
        return silent, bool(call("none_fired")(layer, 0, _N))

    return _Step(begin, *map(call, _ON_ONE))


def interpreted(function: Any, found: dict[object, object]) -> Any:
    """Return a kernel as a plain function whose callees are plain functions too.

    `found` holds the functions made so far.
    """
    plain = getattr(function, "py_func", function)
    if plain in found:
        return found[plain]
    cells = tuple(CellType(_plain(cell.cell_contents, found)) for cell in plain.__closure__ or ())
    copy = FunctionType(plain.__code__, {}, plain.__name__, plain.__defaults__, cells)
    found[plain] = copy
    for name, value in plain.__globals__.items():
        is_used = name in plain.__code__.co_names
        copy.__globals__[name] = _plain(value, found) if is_used else value
    return copy


def _plain(value: Any, found: dict[object, object]) -> Any:
    return interpreted(value, found) if hasattr(value, "py_func") else value


def _check_kernels(model: NeuronModel) -> None:
    """Check that a layer develops alike compiled and interpreted, and behaves sensibly."""
    compiled = _layer(model, _at_rest(model))
    plain = _copy(compiled)
    strength = _strength(model)
    interpreted_step = _interpreted_step(model)
    rng = np.random.default_rng(0)
    n_fired = 0
    for t in np.cumsum(rng.exponential(3.0, 60)).tolist():
        weights = strength * rng.normal(0.4, 0.6, _N)
        result = _advance(_COMPILED, compiled, t, weights)
        other = _advance(interpreted_step, plain, t, weights)
        _require(
            result == other and _bytes(compiled) == _bytes(plain),
            "kernels must give the same bytes compiled and interpreted, differ at "
            f"{t:g} ms: {result} and {other}",
        )
        fired, membranes = zip(*result, strict=True)
        n_fired += sum(fired)
        _require(np.isfinite(membranes).all(), f"membranes must be finite, got {membranes}")
    _require(n_fired > 0, "no neuron fires under strong input")


def _bytes(layer: Neurons) -> list[bytes]:
    """Return all fields as bytes; the padding between them may differ."""
    arrays = (layer.state, layer.shared)
    return [array[name].tobytes() for array in arrays for name in array.dtype.names or ()]


def _strength(model: NeuronModel) -> float:
    """Return a weight that matters: a threshold, or for models in mV more."""
    return 1.0 if model.leaky else 20.0


def _advance(step: _Step, layer: Neurons, t: float, weights: Float64) -> list[tuple[int, float]]:
    """Advance a layer to `t`, add a spike to each neuron; return spikes and membrane of each."""
    step.begin(layer, t)
    return [_advance_neuron(step, layer, i, t, float(weights[i])) for i in range(_N)]


def _advance_neuron(
    step: _Step, layer: Neurons, i: int, t: float, weight: float
) -> tuple[int, float]:
    n_fired = 0
    when = step.next_spike(layer, i, t)
    while when <= t:
        n_fired += 1
        _require(n_fired < 1000, "`next_spike` returns spikes endlessly")
        step.reset(layer, i, when)
        layer.state["last_spike"][i] = when
        when = step.next_spike(layer, i, t)
    _require(when == math.inf, f"`next_spike` must return a time or infinity, got {when}")
    step.receive(layer, i, weight, t)
    if step.at_threshold(layer, i, t):
        n_fired += 1
        step.reset(layer, i, t)
        layer.state["last_spike"][i] = t
    return n_fired, float(step.membrane(layer, i, t))


def _check_shift(model: NeuronModel) -> None:
    """Check that `shift` moves the origin of time and nothing else."""
    layer = _layer(model, _at_rest(model))
    for t in (1.0, 4.0):
        _advance(_COMPILED, layer, t, np.full(_N, 0.3 * _strength(model)))
    moved = _copy(layer)
    moved.state["last_spike"] -= 4.0
    model.shift(moved.state, moved.shared, 4.0)
    for t in (5.0, 9.0):
        expected = _membranes_at(layer, t)
        found = _membranes_at(moved, t - 4.0)
        _require(
            np.allclose(found, expected, rtol=1e-9, atol=1e-9),
            f"`shift` must not change membranes, got {found} instead of {expected}",
        )


def _membranes_at(layer: Neurons, t: float) -> list[float]:
    """Return the membranes of a copy of a layer at `t`."""
    return [v for _, v in _advance(_COMPILED, _copy(layer), t, np.zeros(_N))]


# The window


def _check_window(model: NeuronModel) -> None:
    window = model.window
    assert window is not None
    parameters = window.settings(20.0)
    _require(
        isinstance(parameters, model.kind),
        f"`window.settings` must return a {model.kind.__name__}, got {parameters!r}",
    )
    for drive in (-np.inf, np.nan, -1.0, 0.0):
        n = len(_window_times(window, parameters, drive))
        _require(n == 0, f"a drive of {drive:g} must cause no spikes, got {n}")
    for drive in (3.0, 6.0, 12.0):
        n = len(_window_times(window, parameters, drive))
        _require(
            drive / 3.0 <= n <= 3.0 * drive,
            f"a drive of {drive:g} must cause about as many spikes per window, got {n}",
        )
    n = len(_window_times(window, parameters, 1000.0))
    _require(n == MOST_SPIKES, f"a drive of 1000 must cause {MOST_SPIKES} spikes, got {n}")
    _check_traces(window, parameters, np.linspace(0.0, 30.0, 61, dtype=np.float32))


def _window_times(window: WindowOperations, parameters: object, drive: float) -> Float64:
    """Return the spike times in a window of 20 ms, which are checked."""
    times = _written_times(_callable(window.times), parameters, drive)
    others = _written_times(interpreted(window.times, {}), parameters, drive)
    _require(
        times.tobytes() == others.tobytes(),
        "`window.times` must give the same bytes compiled and interpreted, got "
        f"{times.tolist()} and {others.tolist()} for a drive of {drive:g}",
    )
    _require(
        (np.diff(times, prepend=0.0) > 0.0).all() and (times <= 20.0).all(),
        f"spike times must ascend within the window, got {times.tolist()} for a drive of {drive:g}",
    )
    return times


def _written_times(run: Function, parameters: object, drive: float) -> Float64:
    """Return what a kernel writes."""
    times = np.full(MOST_SPIKES + 1, -7.0)
    n = int(run(parameters, drive, 20.0, 20.0, np.zeros((2, 8)), times[:MOST_SPIKES]))
    _require(0 <= n <= MOST_SPIKES, f"`window.times` must return 0 to {MOST_SPIKES}, got {n}")
    _require(times[-1] == -7.0, "`window.times` must not write beyond `times`")
    return times[:n]


def _check_traces(window: WindowOperations, parameters: object, drives: Float32) -> None:
    """Check spike times, and traces in closed form against the sum over the spikes."""
    times = [_window_times(window, parameters, drive) for drive in drives.tolist()]
    if window.traces is None:
        return
    for tau in (15.0, 20.0):
        traces = drives.copy()
        late = math.exp(-20.0 / tau)
        n = _callable(window.traces)(
            parameters, traces, 20.0, 20.0, tau, late, np.zeros((2, 8)), np.zeros(MOST_SPIKES)
        )
        for drive, trace, spikes in zip(drives.tolist(), traces.tolist(), times, strict=True):
            expected = trace_of_spikes(spikes, tau)
            _require(
                math.isclose(trace, expected, rel_tol=1e-5, abs_tol=1e-6),
                f"`window.traces` must make {expected:g} of a drive of {drive:g}, got {trace:g}",
            )
        n_expected = sum(map(len, times))
        _require(n == n_expected, f"`window.traces` must return {n_expected} spikes, got {n}")


def trace_of_spikes(times: Float64, tau: float) -> float:
    """Return the trace that spikes leave at the end of a window of 20 ms."""
    faded = np.exp((times - 20.0) / tau)
    return 2.0 * float(np.sum(faded - faded * faded))


# Whole nets and estimators


def _network(model: NeuronModel, **options: Any) -> Network:
    """Return a net of two layers with recurrent connections."""
    rng = np.random.default_rng(1)
    strength = _strength(model)
    weights = [
        strength * rng.normal(0.4, 0.5, (6, _N)),
        strength * rng.normal(0.5, 0.5, (_N, 3)),
    ]
    # no two arrivals at one time: whether they coincide would depend on rounding
    usual: dict[str, Any] = {
        "delays": [rng.uniform(0.3, 2.0, matrix.shape) for matrix in weights],
        "recurrent": [strength * rng.normal(-0.1, 0.3, (n, n)) for n in (_N, 3)],
        "recurrent_delays": [rng.uniform(0.3, 2.0, (n, n)) for n in (_N, 3)],
        "dtype": "float64",
    }
    if model.leaky:
        usual["reset"] = "zero"
    return Network.from_weights(weights, neuron=model.name, **(usual | options))


def _inputs() -> tuple[Float64, Int64]:
    rng = np.random.default_rng(2)
    return np.sort(rng.uniform(0.0, _DURATION, 150)), rng.integers(0, 6, 150)


def _check_network(model: NeuronModel) -> None:
    """Check nets with and without delays: their spikes, repeated runs and membranes."""
    for options in ({}, {"delays": None, "recurrent": None}):
        net = _network(model, **options)
        records = [
            net.run(*_inputs(), _DURATION, membranes={0: [0, 2]}, membrane_step=5.0)
            for _ in range(2)
        ]
        _check_record(records[0])
        _require(
            records[0].times.tobytes() == records[1].times.tobytes(),
            "two runs of one net must give the same spikes: `start` must not share state",
        )
        membranes = records[0].membranes[0]
        _require(np.isfinite(membranes).all(), "recorded membranes must be finite")


def _check_record(record: SpikeRecord) -> None:
    _require(len(record) > 0, "no neuron of a Network fires under strong input")
    for layer in range(len(record.sizes)):
        times, indices = record.of(layer)
        is_inside = (times >= 0.0).all() and (times <= record.duration).all()
        _require(
            is_inside and (np.diff(times) >= 0.0).all(),
            "spike times of a Network must ascend within the run",
        )
        pairs = set(zip(times.tolist(), indices.tolist(), strict=True))
        _require(len(pairs) == len(times), "a neuron must fire at most once per time")


def _check_carry(model: NeuronModel) -> None:
    """Check that a run cut in two gives the spikes of one run."""
    net = _network(model)
    times, rows = _inputs()
    whole = net.run(times, rows, _DURATION)
    cut = 23.4
    early = times < cut
    first = net.run(times[early], rows[early], cut)
    second = net.run(times[~early] - cut, rows[~early], _DURATION - cut, carry=True)
    _require(
        _are_close(np.concatenate((first.times, second.times + cut)), whole.times),
        "a run cut in two with carry=True must give the spikes of one run: check `shift`",
    )


def _are_close(times: Array, expected: Array) -> bool:
    """Return whether two sets of spike times are the same up to rounding."""
    same_number = len(times) == len(expected)
    return same_number and np.allclose(np.sort(times), np.sort(expected), rtol=0.0, atol=1e-4)


def _check_estimator(model: NeuronModel) -> None:
    """Check that a classifier learns with the model, and alike each time."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = (X[:, 0] > 0.0).astype(int)
    results = []
    for _ in range(2):
        classifier = LOCOClassifier(hidden_sizes=(8,), neuron=model.name, seed=1)
        predicted = classifier.learn_predict_array(X, y)
        results.append((predicted, classifier.predict_proba_array(X)))
        n_spikes = int(np.sum(classifier.spike_counts_))
        _require(n_spikes > 0, "no neuron of a LOCOClassifier fires")
    predicted, probabilities = results[0]
    _require(np.isfinite(probabilities).all(), "probabilities of a LOCOClassifier must be finite")
    _require(
        probabilities.tobytes() == results[1][1].tobytes(),
        "two LOCOClassifiers with one seed must give the same probabilities",
    )
    right = np.mean([a == b for a, b in zip(predicted[20:], y[20:], strict=True)])
    _require(
        right > 0.6, f"a LOCOClassifier must learn a simple rule, got an accuracy of {right:g}"
    )

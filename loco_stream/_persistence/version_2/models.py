"""Models of format version 2 (release 0.2) as version 3 names them.

Rows of former arrays became arrays of their own; arrays of an expert are named after it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from loco_stream._arrays import Array
from loco_stream._persistence.content import Arrays, Saved
from loco_stream._persistence.migration_steps import (
    Migration,
    add_array,
    drop_arrays,
    in_models,
    rename_arrays,
    split_array,
)
from loco_stream.errors import CheckpointError

_ADVANCED = (
    "credit", "readout", "readout_layers", "cluster_size", "perturbation_std", "orthogonality",
    "receptive_fields", "tau", "tau_trace", "gain", "window", "leaks", "plastic", "reset", "dt",
)  # fmt: skip
_PUBLIC = (
    "hidden_sizes", "rule", "learning_rate", "class_weight", "retention", "memory", "max_delay",
    "neighbors", "centroids", "categories", "neuron", "seed",
)  # fmt: skip
_RENAMED = {
    "newness": "gate.moments",
    "late": "delayed",
    "net.projector": "projections.recursive.first",
    "net.deep_projectors": "projections.recursive.deep",
    "clusters.directions": "projections.clusters.directions",
    "clusters.sizes": "projections.clusters.sizes",
    "clusters.inverse_gram": "projections.clusters.inverse_gram",
    "bank.traces": "experts.least_squares.weights",
    "bank.projectors": "experts.least_squares.projectors",
    "bank.linear": "experts.least_squares.linear_weights",
    "bank.linear_projectors": "experts.least_squares.linear_projectors",
    "bank.logistic": "experts.logistic.weights",
    "bank.logistic_projector": "experts.logistic.projector",
    "bank.stack": "stacks.weights",
    "bank.stack_projector": "stacks.projector",
    "bank.evidence": "mixture.log_weights",
    "bank.corrections": "calibration.log_weights",
    "recall.speakers": "snapshots.posterior",
    "recall.fits": "snapshots.recent_score",
    "recall.clock": "snapshots.counters",
    "recall.births": "snapshots.ids",
    "recall.weights": "snapshots.weights",
    "recall.deep_weights": "snapshots.deep_weights",
    "recall.readouts": "snapshots.readouts",
    "memory.spans": "context.time_constants",
    "memory.kept": "context.traces",
    "memory.clock": "context.clock",
    "memory.ring": "context.ring",
    "memory.targets": "context.delay_targets",
    "memory.steps": "context.run",
    "spread.n": "residuals.counters",
    "spread.risks": "residuals.risks",
    "late_values.evidence": "delayed_values.log_weights",
    "late_values.stack": "delayed_values.stack",
    "late_values.projector": "delayed_values.projector",
    "centroids.n": "experts.centroids.counters",
    "centroids.places": "experts.centroids.places",
    "centroids.counts": "experts.centroids.counts",
    "centroids.worth": "experts.centroids.worth",
    "centroids.rows": "experts.centroids.n_rows",
    "neighbors.n": "experts.neighbors.counters",
    "neighbors.rows": "experts.neighbors.rows",
    "neighbors.answers": "experts.neighbors.labels",
    "gaussians.means": "experts.naive_bayes.means",
    "gaussians.squares": "experts.naive_bayes.squares",
}
_STATISTICS = ("n_values", "mean", "squares", "lowest", "highest", "beyond")
_SPLIT = {
    "statistics": [f"statistics.{name}" for name in _STATISTICS],
    "target": [f"target.{name}" for name in _STATISTICS],
    "classes": ["classes.n_rows", "classes.last_seen"],
    "net.sizes": ["net.n_post", "net.first"],
    "net.gains": ["net.gain", "net.drive_power", "net.input_power", "net.loss_baseline"],
    "bank.members": ["experts.least_squares.leaks", "experts.least_squares.priors"],
    "bank.log_stack": ["stacks.log_weights", "stacks.log_powers"],
    "spread.residuals": ["residuals.recent", "residuals.ordered"],
    "neighbors.ranges": [f"experts.neighbors.{name}" for name in ("origin", "low", "high")],
    "gaussians.moments": ["experts.naive_bayes.n_rows", "experts.naive_bayes.log_variance"],
}
_LATE_VALUES = ("late_values.judged", "late_values.error", "late_values.alike")
_NAIVE_BAYES_LOG_PRIOR = 2.0
_BLOCK = 32  # values that the guard of a scale keeps
_ABSENCE = 20.0  # mean gaps after which a class is dormant
_N_LAGS = 3
_OTHERS_START = -2.0  # log-weight of what predicts from recent values
_SEQUENCE_READOUTS = slice(1, 7)  # what they answered for whole sequences,
_DOUBT = -3.0  # and its log-likelihood before they have learned any
_RANK = 4  # changes that a matrix takes in together
_WIDE_BATCH = 16  # the same, and rows that wait, in a classifier without receptive fields
_JOINT_FEATURES = 256  # features that share a projector, or those of the first row
_LATE_BLOCK = 64  # features of each further block
_VECTOR = 16  # float32 items of a vector
_FULL_BLOCK = 288  # channels up to which a projector has one block,
_CHANNEL_BLOCK = 112  # and of each block where there are more
_WIDE_LEAKS = [1e-9]  # of rows of more than 256 features
_N_ANSWERS = 3  # blocks of probabilities in a ticket, which release 0.2 did not write
_N_OTHERS = 4  # blocks of what the stacks and means of a regression predicted, which it did not,
_HEAD = 3  # numbers that begin a ticket of release 0.2,
_N_SCORES = 2  # its blocks of scores,
_N_COMPARED = 2  # and its numbers for the gate
_CLASSES = -1  # stands for the number of classes,
_BATCH = -2  # and for that of rows that may wait
_POSITIVE = ("fixed.power", "fixed.n_rows", "experts.discriminant.total")  # start at 1
_NEW = {
    "target.first": ((32, 1), np.float64),
    "fixed.weights": ((0, 0), np.float32),
    "fixed.groups": ((0, 0), np.int32),
    "fixed.norms": ((0,), np.float64),
    "fixed.biases": ((0,), np.float64),
    "fixed.center": ((0,), np.float64),
    "fixed.factor": ((0,), np.float64),
    "fixed.n_values": ((0,), np.float64),
    "fixed.power": ((1,), np.float64),
    "fixed.n_rows": ((1,), np.float64),
    "experts.discriminant.means": ((_CLASSES, 0), np.float32),
    "experts.discriminant.projected": ((_CLASSES, 0), np.float32),
    "experts.discriminant.offsets": ((_CLASSES,), np.float64),
    "experts.discriminant.n_rows": ((_CLASSES,), np.float64),
    "experts.discriminant.precision": ((0, 0), np.float32),
    "experts.discriminant.pending": ((_BATCH, 0), np.float32),
    "experts.discriminant.n_pending": ((1,), np.int64),
    "experts.discriminant.waiting": ((_BATCH, 0), np.float32),
    "experts.discriminant.waiting_classes": ((_BATCH, _CLASSES), np.float32),
    "experts.discriminant.n_waiting": ((1,), np.int64),
    "experts.discriminant.trace": ((1,), np.float64),
    "experts.discriminant.total": ((1,), np.float64),
    "experts.discriminant.log_likelihoods": ((7,), np.float64),
    "experts.discriminant.recent_rests": ((0,), np.float32),
    "experts.discriminant.recent_gains": ((0,), np.float32),
    "experts.discriminant.recent": ((2,), np.float64),
    "experts.recency.shares": ((_CLASSES,), np.float64),
    "experts.transitions.followers": ((0, _CLASSES), np.int32),
    "experts.transitions.counts": ((0, _CLASSES), np.float64),
    "experts.transitions.n_labels": ((_CLASSES,), np.float64),
    "next_row.weights": ((0,), np.float64),
    "next_row.powers": ((0,), np.float64),
    "next_row.contexts": ((0,), np.float64),
    "next_row.log_weights": ((0,), np.float64),
    "lead.moments": ((4,), np.float64),
    "past.recent": ((0,), np.float32),
    "past.direction": ((0,), np.float32),
    "past.moments": ((5,), np.float64),
    "domains.counters": ((4,), np.int64),
    "domains.positions": ((0, _CLASSES), np.int64),
    "domains.means": ((0, 0), np.float32),
    "domains.projected": ((0, 0), np.float32),
    "domains.statistics": ((0, 3), np.float64),
    "domains.leads": ((0, 2), np.float64),
    "domains.recent": ((8,), np.float64),
    "domains.gains": ((0,), np.float32),
    "domains.inputs": ((0,), np.float32),
    "domains.weights": ((_CLASSES,), np.float64),
    "sequences.log_likelihoods": ((13,), np.float64),
    "context.means": ((0, 0), np.float32),
    "context.fading_traces": ((0,), np.float32),
    "context.mean_weights": ((0,), np.float32),
}


def _options(saved: Saved) -> Saved:
    """Return the model with its parameters as options.

    Raises `CheckpointError` if the model uses an option that was removed.
    """
    parameters = saved.config["parameters"]
    if parameters.get("antithetic") or parameters.get("n_perturbations", 1) != 1:
        raise CheckpointError(
            "was made with `antithetic` or `n_perturbations`, which this release does not have; "
            "continue under release 0.2, or train a new model on the stream"
        )
    advanced = {name: parameters[name] for name in _ADVANCED}
    n_clusters = parameters["n_input_clusters"]
    advanced["projection"] = "clusters" if n_clusters else "recursive"
    advanced["n_input_clusters"] = n_clusters or None
    advanced["rank"] = parameters["rank"] if n_clusters else None
    options = {**{name: parameters[name] for name in _PUBLIC}, "advanced": advanced}
    return replace(saved, config={**saved.config, "parameters": options})


def _without_decision(saved: Saved) -> Saved:
    """Return the model with the rule by which classes are chosen: none."""
    if saved.kind != "LOCOClassifier":
        return saved
    return replace(saved, config={**saved.config, "decision": None})


def _delayed_errors(saved: Saved) -> Array:
    return np.concatenate([saved.arrays[name] for name in _LATE_VALUES])


def _log_priors(saved: Saved) -> Array:
    priors = np.zeros(len(saved.arrays["mixture.log_weights"]))
    if len(saved.arrays["experts.logistic.weights"]):  # there are linear experts
        priors[-1:] = _NAIVE_BAYES_LOG_PRIOR
    return priors


def _without_fixed_layer(saved: Saved) -> Saved:
    """Return the model with the arrays of parts that release 0.2 did not have, all of them empty.

    Such a model goes on without the layer that never learns and its discriminant.
    """
    options = saved.config["parameters"]
    advanced = {**options["advanced"], "fixed_neurons": 0, "recent_values": _N_LAGS}
    advanced["memoryless_members"] = False
    advanced["categorical_features"] = ()
    if advanced["leaks"] is None and (saved.config.get("width") or 0) > _JOINT_FEATURES:
        advanced["leaks"] = _WIDE_LEAKS
    saved = replace(saved, config={**saved.config, "parameters": {**options, "advanced": advanced}})
    if not saved.arrays:
        return saved
    arrays = dict(saved.arrays)
    n_rows = arrays["classes.n_rows"]
    n_classes = len(n_rows)
    n_seen = arrays["counts"][0]
    gaps = n_seen / np.maximum(n_rows, 1.0)
    is_regression = len(arrays["residuals.risks"]) > 0
    has_lags = is_regression and advanced["readout"] == "recursive"
    arrays["counts"] = np.append(arrays["counts"], -1)
    arrays["classes.log_gap"] = np.log(np.maximum(gaps, 1.0))
    arrays["classes.patience"] = _ABSENCE * np.maximum(gaps, 1.0)
    is_wide = not is_regression and len(arrays["net.weights"]) == len(arrays["statistics.mean"])
    batch = _WIDE_BATCH if is_wide else _RANK
    lengths = {_CLASSES: n_classes, _BATCH: batch}
    for name, (shape, dtype) in _NEW.items():
        shape = tuple(lengths.get(n, n) for n in shape)
        arrays[name] = np.full(shape, name in _POSITIVE, dtype)
    arrays["domains.counters"][0] = 1
    arrays["sequences.log_likelihoods"][_SEQUENCE_READOUTS] = _DOUBT
    arrays["net.feedback"] = np.ascontiguousarray(arrays["net.feedback"].T)
    arrays |= _recent_values(_N_LAGS if has_lags else 0)
    arrays |= split_projectors(arrays, saved.config["width"])
    waits = is_wide and advanced["readout"] == "recursive" and not _sees_features(arrays)
    arrays |= _pending_changes(arrays, batch if waits else 0)
    return replace(saved, arrays=arrays)


def _recent_values(n_lags: int) -> Arrays:
    """Return the arrays by which recent values of one target answer, before any is known."""
    n_targets = 1 if n_lags else 0
    n_models = 2 if n_lags else 0
    n_inputs = n_lags + 2 if n_lags else 0
    n_experts = n_models + 2 if n_lags else 0
    weights = np.zeros((n_targets, n_models, n_inputs))
    weights[..., :1] = 1.0
    log_weights = np.where(np.arange(n_experts) > 0, _OTHERS_START, 0.0)
    return {
        "next_value.known": np.zeros((n_targets, n_lags)),
        "next_value.counters": np.zeros((n_targets, 2), np.int64),
        "next_value.weights": weights,
        "next_value.projectors": np.tile(np.eye(n_inputs), (n_targets, n_models, 1, 1)),
        "next_value.joint_weights": np.zeros((0, 0, n_targets)),
        "next_value.joint_projectors": np.zeros((0, 0, 0)),
        "next_value.errors": np.ones((n_targets, n_experts)),
        "next_value.log_weights": np.tile(log_weights, (n_targets, 1)),
    }


def split_projectors(arrays: Arrays, width: int) -> Arrays:
    """Return the projectors of the readout, with blocks for features beyond the joint ones.

    Release 0.2 had one projector for all: what it held between blocks is left out.
    """
    n_features = len(arrays["statistics.n_values"])
    n_late = max(n_features - max(width, _JOINT_FEATURES), 0)
    n_hidden = int(arrays["net.n_post"].sum())
    split: Arrays = {}
    for name, blocks, n_others in (
        ("least_squares.projectors", "least_squares.blocks", n_hidden + 1),
        ("least_squares.linear_projectors", "least_squares.linear_blocks", 1),
        ("logistic.projector", "logistic.blocks", 1),
    ):
        projector = arrays[f"experts.{name}"]
        n_inputs = projector.shape[-1]
        n_joint = n_inputs - (n_late if n_inputs == n_others + n_features else 0)
        split[f"experts.{name}"] = np.ascontiguousarray(projector[..., :n_joint, :n_joint])
        split[f"experts.{blocks}"] = _diagonal_blocks(projector[..., n_joint:, n_joint:])
    return split


def _diagonal_blocks(projector: Array) -> Array:
    """Return the blocks along the diagonal, each row with the columns of its own block."""
    *members, n, _ = projector.shape
    blocks = np.zeros((*members, n, _LATE_BLOCK), np.float32)
    for begin in range(0, n, _LATE_BLOCK):
        own = slice(begin, min(begin + _LATE_BLOCK, n))
        blocks[..., own, : own.stop - begin] = projector[..., own, own]
    return blocks


def _sees_features(arrays: Arrays) -> bool:
    """Return whether the readout sees the features beside the hidden layers."""
    n_hidden = int(arrays["net.n_post"].sum())
    return len(arrays["experts.least_squares.weights"]) > n_hidden + 1


def _pending_changes(arrays: Arrays, n_waiting: int) -> Arrays:
    """Return the arrays of changes that projectors have not taken in yet, and of rows that wait.

    There are none of either, and room for `n_waiting` rows.
    """
    prefix = "experts.least_squares."
    n_inputs, n_outputs = arrays[f"{prefix}weights"].shape
    n_classes = len(arrays["classes.n_rows"])
    pending: Arrays = {
        f"{prefix}counters": np.zeros(1, np.int64),
        f"{prefix}waiting": np.zeros((n_waiting, n_inputs), np.float32),
        f"{prefix}waiting_outputs": np.zeros((n_waiting, n_outputs), np.float32),
        f"{prefix}waiting_classes": np.zeros((n_waiting, n_classes), np.float32),
        f"{prefix}n_waiting": np.zeros(1, np.int64),
    }
    for kind, n_changes in (("", n_waiting or _RANK), ("linear_", _RANK)):
        projectors = arrays[f"{prefix}{kind}projectors"]
        shape = (len(projectors), n_changes, projectors.shape[-2])
        pending[f"{prefix}{kind}pending"] = np.zeros(shape, np.float32)
    return pending


def _whole_columns(array: Array, n: int) -> Array:
    """Return projectors with columns of 0 behind their own, up to whole vectors or `n` columns."""
    n_columns = array.shape[-1]
    n_added = min(-(-n_columns // _VECTOR) * _VECTOR, n) - n_columns
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, n_added)])


def _channel_block(saved: Saved) -> int:
    """Return the channels per block of the projectors of hidden layers."""
    chosen: int | None = saved.config["parameters"]["advanced"]["cluster_size"]
    if chosen:
        return chosen
    n_fields = len(saved.arrays["net.weights"]) // len(saved.arrays["statistics.n_values"])
    is_single = saved.config["width"] * n_fields <= _FULL_BLOCK
    return _FULL_BLOCK if is_single else _CHANNEL_BLOCK - _CHANNEL_BLOCK % n_fields


def _in_vectors(saved: Saved) -> Saved:
    """Return the model with projectors whose rows begin where vectors do."""
    if not saved.arrays:
        return saved
    arrays = dict(saved.arrays)
    block = _channel_block(saved)
    most = np.iinfo(np.int32).max
    for name, n in (
        ("projections.recursive.first", block),
        ("projections.recursive.deep", block),
        ("experts.least_squares.projectors", most),
        ("experts.least_squares.linear_projectors", most),
    ):
        if arrays[name].shape[-2] > 0:  # without a projection there are no rows
            arrays[name] = _whole_columns(arrays[name], n)
    return replace(saved, arrays=arrays)


def _used_projections(saved: Saved) -> Saved:
    """Return the model without the arrays of projections that its options do not use."""
    if not saved.arrays:
        return saved
    options = saved.config["parameters"]
    advanced = options["advanced"]
    projects = options["rule"] == "loco" and advanced["orthogonality"] > 0.0
    arrays = dict(saved.arrays)
    if not projects or advanced["projection"] != "recursive":
        deep = arrays["projections.recursive.deep"]
        arrays["projections.recursive.first"] = np.zeros((0, 1), np.float32)
        arrays["projections.recursive.deep"] = np.zeros((0, *deep.shape[1:]), np.float32)
    if not projects or advanced["projection"] != "clusters":
        n_layers = len(arrays["net.n_post"])
        arrays["projections.clusters.directions"] = np.zeros((0, 0), np.float32)
        arrays["projections.clusters.sizes"] = np.zeros(0)
        arrays["projections.clusters.inverse_gram"] = np.zeros((n_layers, 0, 0))
    return replace(saved, arrays=arrays)


def _scales(saved: Saved) -> Saved:
    """Return the model with what keeps its scales robust, which starts with the next row."""
    if not saved.arrays:
        return saved
    width = len(saved.arrays["statistics.n_values"])
    zeros = np.zeros(width)
    below = np.full(width, -np.inf)
    above = np.full(width, np.inf)
    added = {
        "scale_guard.recent": np.zeros((_BLOCK, width)),
        "scale_guard.n_recent": zeros,
        "scale_guard.low": below,
        "scale_guard.high": above,
        "scale_guard.n_fillers": zeros,
        "kept_scales.n_values": zeros,
        "kept_scales.mean": zeros,
        "kept_scales.squares": zeros,
        "kept_scales.lowest": above,
        "kept_scales.highest": below,
        "kept_scales.n_wide": zeros,
    }
    return replace(saved, arrays={**saved.arrays, **{name: a.copy() for name, a in added.items()}})


MODELS: Migration = in_models(
    _options,
    rename_arrays(_RENAMED),
    *(split_array(name, parts) for name, parts in _SPLIT.items()),
    add_array("delayed_values.errors", _delayed_errors),
    drop_arrays(*_LATE_VALUES),
    add_array("mixture.log_priors", _log_priors),
    drop_arrays("gate.moments"),
    _used_projections,
    _scales,
    _without_fixed_layer,
    _in_vectors,
    _without_decision,
)


def convert_ticket(ticket: bytes | None, arrays: Arrays) -> bytes | None:
    """Return the prediction of a pending row as version 3 writes it.

    Release 0.2 wrote two blocks of scores for every model, of which those that a model has are
    left, and two numbers for the gate, which are left out. The last label, recent values and
    probabilities were not written; they count as unknown. Nor were the predictions of the stacks
    and means of a regression; the mean of its outputs stands for each.

    ticket: numbers of float64; None where the model gives none
    arrays: arrays of the converted model
    """
    logistic = arrays.get("experts.logistic.weights")
    if not ticket or logistic is None:
        return ticket
    values = np.frombuffer(ticket, np.float64)
    n_classes = int(values[0])
    n_snapshots = len(arrays["snapshots.ids"])
    n_outputs = len(arrays["stacks.log_weights"])
    outputs = _HEAD + len(arrays["context.traces"])
    scores = outputs + n_classes * n_outputs
    compared = scores + n_classes * (_N_SCORES + n_snapshots) + n_snapshots
    left_out = [compared + np.arange(_N_COMPARED)]
    if not len(logistic):
        left_out.append(scores + np.arange(_N_SCORES * n_classes))
    kept = np.delete(values, np.concatenate(left_out))
    n_codes = len(values) - compared - _N_COMPARED
    n_features = _features_of(n_codes, arrays)
    lags = np.full(arrays["next_value.known"].size if n_classes else 0, np.nan)
    head = np.array([*kept[:_HEAD], -1.0, n_features])
    mixes = len(arrays["mixture.log_weights"]) > 0
    answers = np.full(_N_ANSWERS * n_classes if mixes else 0, -1.0)
    mean = kept[outputs:scores].reshape(n_outputs, n_classes).mean(axis=0)
    others = np.tile(mean, _N_OTHERS if len(arrays["delayed_values.log_weights"]) else 0)
    codes = len(kept) - n_codes
    parts = [head, lags, kept[_HEAD:scores], others, kept[scores:codes], answers, kept[codes:]]
    return np.concatenate(parts).tobytes()


def _features_of(n_codes: int, arrays: Arrays) -> int:
    """Return how many features a ticket has the encoded rows of; without delays, those of now."""
    n_delays, n_lines = arrays["context.ring"].shape
    n_fields = n_lines // len(arrays["statistics.n_values"])
    return n_codes // (n_delays * n_fields) if n_codes else int(arrays["counts"][1])

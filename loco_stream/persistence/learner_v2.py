"""Models of format version 2 (release 0.2) as version 3 names them.

Rows of former arrays became arrays of their own, and the arrays of each expert stand under its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import CheckpointError

__all__ = ["convert_arrays", "convert_parameters", "convert_ticket"]

Arrays = dict[str, NDArray[Any]]

_ADVANCED = (
    "credit", "readout", "readout_layers", "cluster_size", "perturbation_std", "orthogonality",
    "receptive_fields", "tau", "tau_trace", "gain", "window", "leaks", "plastic", "reset", "dt",
)  # fmt: skip
_PUBLIC = (
    "hidden_sizes", "rule", "learning_rate", "class_weight", "retention", "memory", "max_delay",
    "neighbors", "centroids", "categories", "neuron", "seed",
)  # fmt: skip
_RENAMED = {
    "counts": "counts",
    "newness": "gate.moments",
    "late": "delayed",
    "net.weights": "net.weights",
    "net.deep_weights": "net.deep_weights",
    "net.projector": "projections.recursive.first",
    "net.deep_projectors": "projections.recursive.deep",
    "net.feedback": "net.feedback",
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
_NAIVE_BAYES_LOG_PRIOR = 2.0


def convert_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a constructor of 0.2 as options.

    Raises
    ------
    CheckpointError
        The model uses an option that was removed.
    """
    if parameters.get("antithetic") or parameters.get("n_perturbations", 1) != 1:
        raise CheckpointError(
            "was made with `antithetic` or `n_perturbations`, which this release does not have; "
            "go on with it under release 0.2, or learn the stream anew"
        )
    advanced = {name: parameters[name] for name in _ADVANCED}
    n_clusters = parameters["n_input_clusters"]
    advanced["projection"] = "clusters" if n_clusters else "recursive"
    advanced["n_input_clusters"] = n_clusters or None
    advanced["rank"] = parameters["rank"] if n_clusters else None
    return {**{name: parameters[name] for name in _PUBLIC}, "advanced": advanced}


def convert_arrays(arrays: Mapping[str, NDArray[Any]], options: Mapping[str, Any]) -> Arrays:
    """Return the arrays of a model of 0.2 as version 3 has them; `options` are those converted."""
    if not arrays:
        return {}
    made = {new: np.array(arrays[old]) for old, new in _RENAMED.items()}
    for old, names in _SPLIT.items():
        for name, row in zip(names, arrays[old], strict=True):
            made[name] = np.array(row)
    late = (arrays["late_values.judged"], arrays["late_values.error"], arrays["late_values.alike"])
    made["delayed_values.errors"] = np.concatenate(late)
    _add_mixture(made)
    _leave_projections(made, options)
    return made


def _add_mixture(arrays: Arrays) -> None:
    """Add what the mixture's opinions start from, and which of them forget nothing."""
    n = len(arrays["mixture.log_weights"])
    has_linear = n > 0 and len(arrays["experts.logistic.weights"]) > 0
    arrays["mixture.log_priors"] = np.zeros(n)
    arrays["mixture.lasting"] = np.zeros(n)
    if has_linear:
        arrays["mixture.log_priors"][-1] = _NAIVE_BAYES_LOG_PRIOR
        arrays["mixture.lasting"][-2:] = 1.0


def _leave_projections(arrays: Arrays, options: Mapping[str, Any]) -> None:
    """Drop the arrays of projections that are not in force."""
    advanced = options["advanced"]
    projects = options["rule"] == "loco" and advanced["orthogonality"] > 0.0
    if not projects or advanced["projection"] != "recursive":
        arrays["projections.recursive.first"] = np.zeros((0, 1), np.float32)
        deep = arrays["projections.recursive.deep"]
        arrays["projections.recursive.deep"] = np.zeros((0, *deep.shape[1:]), np.float32)
    if not projects or advanced["projection"] != "clusters":
        n_layers = len(arrays["net.n_post"])
        arrays["projections.clusters.directions"] = np.zeros((0, 0), np.float32)
        arrays["projections.clusters.sizes"] = np.zeros(0)
        arrays["projections.clusters.inverse_gram"] = np.zeros((n_layers, 0, 0))


def convert_ticket(ticket: Sequence[float], arrays: Mapping[str, NDArray[Any]]) -> list[float]:
    """Return what was predicted for a pending row as version 3 writes it.

    Release 0.2 wrote two blocks of scores for every model; now only those that a model has are
    written. `arrays` are those of the model, converted.
    """
    values = list(ticket)
    if not values or len(arrays["experts.logistic.weights"]):
        return values
    n_classes = int(values[0])
    first = 3 + len(arrays["context.traces"]) + n_classes * len(arrays["stacks.log_weights"])
    del values[first : first + 2 * n_classes]
    return values


def migrate_models(config: dict[str, Any], arrays: Arrays, prefix: str = "") -> Arrays:
    """Convert the model that a file holds, in place; return all arrays.

    Parameters
    ----------
    config
        Plain values of a model, of a pipeline that ends in one, or of a checkpoint's model.
    arrays
        All arrays of the file.
    prefix
        What the names of the model's arrays begin with.
    """
    if config.get("kind") == "Pipeline":
        return migrate_models(config["estimator"], arrays, prefix)
    if config.get("kind") not in ("LOCOClassifier", "LOCORegressor"):
        return arrays
    config["parameters"] = convert_parameters(config["parameters"])
    config.setdefault("texts", [])
    config.setdefault("shared", {})
    others = {name: array for name, array in arrays.items() if not name.startswith(prefix)}
    own = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    converted = convert_arrays(own, config["parameters"])
    return others | {f"{prefix}{name}": array for name, array in converted.items()}

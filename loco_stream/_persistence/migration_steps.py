"""Building blocks of migrations: steps that rename, split, add or drop parts of a file.

Every step is a function from the content of a file to its new content. Steps are pure: the content
that is passed in stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from loco_stream._arrays import Array
from loco_stream._persistence.content import Plain, Saved, with_prefix, without_prefix
from loco_stream.errors import CheckpointError

_CHECKPOINT = "checkpoint"
_PIPELINE = "Pipeline"
_DETECTOR = "LOCODetector"
_NETWORK = "forecasts/network"  # prefix of the arrays of a detector's network
_MODELS = ("LOCOClassifier", "LOCORegressor", "LOCOMultiTargetRegressor", "LOCOForecaster")
_PARTS = ("model", "anomaly")  # of a checkpoint: its model, and a detector beside it
_TICKET = 10  # its place among the values of a row that waits for its label

Migration = Callable[[Saved], Saved]


def refuse(advice: str) -> Migration:
    """Return a migration that raises `CheckpointError`, with `advice` on what to do instead."""

    def refused(saved: Saved) -> Saved:
        raise CheckpointError(
            f"holds a {saved.kind} of an earlier release, which cannot be migrated: {advice}"
        )

    return refused


def in_order(*steps: Migration) -> Migration:
    """Return one migration that applies several, first to last."""

    def migrated(saved: Saved) -> Saved:
        for step in steps:
            saved = step(saved)
        return saved

    return migrated


def in_models(*steps: Migration, kinds: Sequence[str] = _MODELS) -> Migration:
    """Return a migration that applies `steps` to every model in a file.

    A model is a file of its own, the last step of a pipeline, the network of a detector, or a part
    of a checkpoint (of an engine or of a key of a fleet). The steps see each one alike: its class
    name as kind, its own plain values, and its arrays without a prefix. The network of a detector
    is a multi-target regressor.

    steps: applied first to last
    kinds: class names of the models that are migrated; models of other classes stay as they are.
    "LOCODetector" is what a detector has beside its network

    Examples
    --------
    >>> import numpy as np
    >>> model = {"kind": "LOCOClassifier", "width": 3}
    >>> saved = Saved("checkpoint", {"model": model}, {"model/net.weights": np.zeros(2)})
    >>> migrated = in_models(rename_arrays({"net.weights": "hidden.weights"}))(saved)
    >>> list(migrated.arrays)
    ['model/hidden.weights']
    """
    return partial(_migrate_models, in_order(*steps), frozenset(kinds))


def _migrate_models(step: Migration, kinds: frozenset[str], saved: Saved) -> Saved:
    if saved.kind != _CHECKPOINT:
        return _migrate_model(step, kinds, saved)
    migrated = partial(_migrate_model, step, kinds)
    for part in _PARTS:
        if part in saved.config:
            saved = _migrate_part(migrated, saved, part, part)
    return saved


def _migrate_model(step: Migration, kinds: frozenset[str], saved: Saved) -> Saved:
    if saved.kind in kinds:
        saved = step(saved)
    if saved.kind == _DETECTOR:
        return _migrate_part(partial(_migrate_model, step, kinds), saved, "forecasts", _NETWORK)
    if saved.kind != _PIPELINE:
        return saved
    config = saved.config["estimator"]
    changed = _migrate_model(step, kinds, Saved(config["kind"], config, saved.arrays))
    return Saved(saved.kind, {**saved.config, "estimator": changed.config}, changed.arrays)


def _migrate_part(migration: Migration, saved: Saved, key: str, prefix: str) -> Saved:
    """Migrate a model in a file: its plain values under `key`, and its arrays under `prefix`."""
    config = saved.config[key]
    changed = migration(Saved(config["kind"], config, without_prefix(prefix, saved.arrays)))
    others = {name: a for name, a in saved.arrays.items() if not name.startswith(f"{prefix}/")}
    arrays = {**with_prefix(prefix, changed.arrays), **others}
    return Saved(saved.kind, {**saved.config, key: changed.config}, arrays)


def in_checkpoints(*steps: Migration) -> Migration:
    """Return a migration that applies `steps` to checkpoints alone."""
    step = in_order(*steps)
    return lambda saved: step(saved) if saved.kind == _CHECKPOINT else saved


def rename_arrays(names: Mapping[str, str]) -> Migration:
    """Return a step that renames arrays, old name to new name; absent ones are passed over."""

    def renamed(saved: Saved) -> Saved:
        arrays = {names.get(name, name): array for name, array in saved.arrays.items()}
        return replace(saved, arrays=arrays)

    return renamed


def split_array(name: str, parts: Sequence[str | None]) -> Migration:
    """Return a step that replaces an array by its rows, one array per name; None drops a row.

    Raises `CheckpointError` if the array has another number of rows than `parts` has names.

    Examples
    --------
    >>> import numpy as np
    >>> saved = Saved("LOCOClassifier", {}, {"statistics": np.array([[1.0, 2.0], [3.0, 4.0]])})
    >>> split = split_array("statistics", ("statistics.mean", "statistics.variance"))(saved)
    >>> {name: array.tolist() for name, array in split.arrays.items()}
    {'statistics.mean': [1.0, 2.0], 'statistics.variance': [3.0, 4.0]}
    """

    def split(saved: Saved) -> Saved:
        if name not in saved.arrays:
            return saved
        whole = saved.arrays[name]
        if not whole.ndim or len(whole) != len(parts):
            raise CheckpointError(
                f"is damaged: array {name!r} has shape {whole.shape}, not {len(parts)} rows"
            )
        arrays = {other: array for other, array in saved.arrays.items() if other != name}
        for part, row in zip(parts, whole, strict=True):
            if part is not None:
                arrays[part] = row.copy()
        return replace(saved, arrays=arrays)

    return split


def add_array(name: str, make: Callable[[Saved], Array]) -> Migration:
    """Return a step that adds an array; `make` computes it from the content.

    A model that has learned nothing has no arrays, and gets none.
    """

    def added(saved: Saved) -> Saved:
        if not saved.arrays:
            return saved
        return replace(saved, arrays={**saved.arrays, name: make(saved)})

    return added


def drop_arrays(*names: str) -> Migration:
    """Return a step that removes arrays."""

    def dropped(saved: Saved) -> Saved:
        kept = {name: array for name, array in saved.arrays.items() if name not in names}
        return replace(saved, arrays=kept)

    return dropped


def add_expert(
    arrays: Mapping[str, Callable[[Saved], Array]], n_opinions: int = 1, log_prior: float = 0.0
) -> Migration:
    """Return a migration to a release that has one more expert, the last of `EXPERTS`.

    Its opinions get the lowest weight in the mixture, so that a trained model predicts as before
    until they are worth more. Rows that wait for their labels lose their tickets, whose length
    depends on the experts, and are learned without. An expert with log-odds for the stream's next
    row needs a step for `next_row` too.

    arrays: what the expert learns: for each name, what computes it from the content of a model
    n_opinions: of the expert, in a model that has a mixture
    log_prior: that of the expert

    Examples
    --------
    >>> import numpy as np
    >>> arrays = {"mixture.log_weights": np.array([-3.0, -7.0]), "mixture.log_priors": np.zeros(2)}
    >>> migration = add_expert({"experts.toy.counts": lambda saved: np.zeros(4)})
    >>> migrated = migration(Saved("LOCOClassifier", {}, arrays)).arrays
    >>> migrated["mixture.log_weights"].tolist(), len(migrated["experts.toy.counts"])
    ([-3.0, -7.0, -7.0], 4)
    """
    own = (add_array(name, make) for name, make in arrays.items())
    mixed = partial(_add_opinions, n_opinions, log_prior)
    return in_order(in_models(*own, mixed), in_checkpoints(_without_tickets))


def _add_opinions(n: int, log_prior: float, saved: Saved) -> Saved:
    weights = saved.arrays.get("mixture.log_weights", np.zeros(0))
    if not len(weights):
        return saved
    added = {
        "mixture.log_weights": np.append(weights, np.full(n, weights.min())),
        "mixture.log_priors": np.append(saved.arrays["mixture.log_priors"], np.full(n, log_prior)),
    }
    return replace(saved, arrays={**saved.arrays, **added})


def _without_tickets(saved: Saved) -> Saved:
    config = dict(saved.config)
    if "pending" in config.get("trainer", {}):
        trainer = config["trainer"]
        rows = [_without_ticket(row) for row in trainer["pending"]["rows"]]
        config["trainer"] = {**trainer, "pending": {**trainer["pending"], "rows": rows}}
    if "events" in config:  # of an engine, whose labels may come late on purpose
        events = config["events"]
        rows = [[*place, _without_ticket(row)] for *place, row in events["delayed"]["rows"]]
        config["events"] = {**events, "delayed": {**events["delayed"], "rows": rows}}
    return replace(saved, config=config)


def _without_ticket(row: Sequence[Plain]) -> list[Plain]:
    return [*row[:_TICKET], None, *row[_TICKET + 1 :]]

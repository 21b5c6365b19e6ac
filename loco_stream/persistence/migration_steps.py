"""Building blocks of migrations: steps that rename, split, add or drop parts of a file.

Every step is a function from the content of a file to its new content. Steps are pure: the content
that is passed in stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from loco_stream.errors import CheckpointError
from loco_stream.persistence.content import Array, Saved, with_prefix, without_prefix

_CHECKPOINT = "checkpoint"
_PIPELINE = "Pipeline"
_DETECTOR = "LOCODetector"
_NETWORK = "forecasts/network"  # prefix of the arrays of a detector's network
_MODELS = ("LOCOClassifier", "LOCORegressor", "LOCOMultiTargetRegressor", "LOCOForecaster")
_PARTS = ("model", "anomaly")  # of a checkpoint: its model, and a detector beside it

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

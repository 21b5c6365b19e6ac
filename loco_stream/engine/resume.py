"""Where a run stands, to and from its checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loco_stream import __version__
from loco_stream.engine.listeners import Listeners
from loco_stream.engine.saved_types import check_types
from loco_stream.engine.state import export_parts, restore_parts
from loco_stream.engine.store import Store
from loco_stream.engine.trainer import Trainer
from loco_stream.stream import Event, Source

__all__ = ["Place", "resume", "save"]


@dataclass(slots=True)
class Place:
    """How far a run has come.

    Commits learned, where its source stood after the last, rows of the next one learned.
    """

    position: dict[str, Any]
    commit: int = 0
    skip: int = 0


def save(
    store: Store,
    trainer: Trainer,
    place: Place,
    source: Source,
    settings: Mapping[str, Any],
    listeners: Listeners,
) -> None:
    """Write a checkpoint of everything in the background."""
    config, arrays = export_parts(trainer.model_adapter, trainer.score, trainer.monitor, trainer)
    schema = source.schema
    config |= {
        "version": __version__,
        "source": source.name,
        "schema": None if schema is None else asdict(schema),
        "fingerprint": source.fingerprint,
        "settings": settings,
        "task": trainer.score.task,
        "n_samples": trainer.n_samples,
        "commit": place.commit,
        "position": place.position,
        "skip": place.skip,
        "undelivered": listeners.export_state(),
    }
    store.save(place.commit, config, arrays)


def resume(
    store: Store,
    trainer: Trainer,
    source: Source,
    settings: Mapping[str, Any],
    learn: Callable[[Sequence[Event], Mapping[str, Any], float], int],
    listeners: Listeners,
) -> Place:
    """Restore the newest checkpoint, learn what the log holds after it, and return the place reached.

    A commit that raises while it is learned is set aside in a file. Then everything begins again
    without it, for nobody knows what half a commit left behind, and a checkpoint is taken behind
    it: each costs one replay.

    Raises
    ------
    CheckpointError
        No checkpoint is sound, or the log lacks a commit.
    """
    fresh: set[int] = set()
    while True:
        saved = store.load(settings)
        check_types(saved.config)
        if saved.config.get("fingerprint"):
            source.verify(saved.config["fingerprint"])
        restore_parts(saved, trainer.model_adapter, trainer.score, trainer.monitor, trainer)
        if not fresh:  # once: the sinks keep it
            listeners.restore_state(saved.config.get("undelivered", {}))
        place = Place(saved.config["position"], saved.config["commit"], saved.config["skip"])
        for commit, events, where, now in store.replay(place.commit):
            if commit in store.set_aside_commits:
                trainer.n_set_aside += 1
            else:
                try:
                    learn(events, where, now)
                except Exception as error:
                    store.set_aside(commit, error)
                    fresh.add(commit)
                    break
            place.commit = commit
            place.position = where["position"]
            place.skip = where["skip"]
            if commit in fresh:
                save(store, trainer, place, source, settings, listeners)
                store.finish()
        else:
            return place

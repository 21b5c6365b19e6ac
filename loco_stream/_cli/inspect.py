"""`loco-stream inspect`: verify a checkpoint or a saved model and print what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._option_group import PATH

if TYPE_CHECKING:
    from loco_stream._persistence.content import Saved


@click.command("inspect")
@click.argument("path", type=PATH, metavar="DIR|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(path: str, as_json: bool) -> None:
    """Verify a checkpoint or a model and print its contents.

    DIR is a directory of checkpoints, of which the newest sound one is read.

    \b
    Examples
      loco-stream inspect state/
      loco-stream inspect state/checkpoint-000000012000.loco --json
      loco-stream inspect model.loco

    state_sha256 is the SHA-256 of the model's state: two runs with the same value continue
    identically.
    """
    from loco_stream.engine._report import jsonable

    found = jsonable(_contents(path))
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        click.echo(f"{key:<16} {json.dumps(value) if isinstance(value, dict | list) else value}")


def _contents(path: str) -> dict[str, object]:
    from loco_stream._persistence import format as persist
    from loco_stream.engine._checkpoint import newest
    from loco_stream.engine._state import model_of, state_sha256
    from loco_stream.errors import CheckpointError

    damaged: list[str] = []
    if (Path(path) / "fleet.json").is_file():
        raise CheckpointError(f"{path} holds a fleet: `loco-stream fleet status {path}` has counts")
    if Path(path).is_dir():
        file, saved, damaged = newest(path)
    else:
        file = Path(path)
        saved = persist.read(path)
    kind, model, arrays = model_of(saved)
    config = saved.config if saved.kind == "checkpoint" else {}
    n_seen, fault = _restored(saved)
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "kind": saved.kind,
        "model": kind,
        "version": config.get("version"),
        "task": config.get("task"),
        "n_samples": config.get("n_samples", n_seen),
        "sources": _sources(config.get("position"), config.get("source")),
        "settings": config.get("settings"),
        "state_sha256": state_sha256(model, arrays),
        "parameters": sum(array.size for array in arrays.values()),
        "damaged": damaged,
        "fault": fault,
    }


def _highest(beside: Mapping[str, Any]) -> dict[str, int]:
    """Return the highest row number of each source at the HTTP API."""
    sources = beside.get("sources")
    if not isinstance(sources, Mapping):  # of release 0.2
        return {name: highest for name, (highest, _) in beside.items()}
    return {name: ranges[-1][1] for name, (ranges, *_) in sources.items() if ranges}


def _restored(saved: Saved) -> tuple[int | None, str | None]:
    """Return how many rows a model has learned, and why this release cannot restore the file.

    None stands for a checkpoint, whose rows are counted in it, and for a sound file.
    """
    from loco_stream.engine._core import check_restorable
    from loco_stream.engine._model_adapter import last_step
    from loco_stream.errors import LocoStreamError
    from loco_stream.estimators._saving import restored

    try:
        if saved.kind == "checkpoint":
            check_restorable(saved)
            return None, None
        return getattr(last_step(restored(saved)), "n_seen", None), None
    except LocoStreamError as error:
        return None, str(error)


def _sources(position: object, source: str | None) -> dict[str, Any]:
    """Return how far each source was read.

    A source that merges several has a position per source, as ``{source: {epoch: seq}}``; any other
    source has one position.
    """
    if not isinstance(position, Mapping):  # of a checkpoint that cannot be restored, or of none
        return {}
    if position.keys() == {"within", "beside"}:
        beside = _highest(position["beside"])
        return {**_sources(position["within"], source), "beside": beside}
    if position and all(isinstance(value, dict) for value in position.values()):
        return {name: epochs for name, epochs in position.items() if name}
    return {} if source is None else {source: position}

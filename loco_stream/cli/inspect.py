"""`loco-stream inspect`: what a checkpoint holds, every byte of it checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]


@click.command("inspect")
@click.argument("path", metavar="DIR|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(path: str, as_json: bool) -> None:
    """Verify a checkpoint folder, a checkpoint or a saved model, and show what it holds.

    \b
    Examples
      loco-stream inspect state/
      loco-stream inspect state/checkpoint-000000012000.loco --json
      loco-stream inspect model.loco

    state_sha256 is the SHA-256 of the model's state: two runs that agree in it go on alike.
    """
    from loco_stream.engine.report import jsonable

    found = jsonable(_look(path))
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        click.echo(f"{key:<16} {json.dumps(value) if isinstance(value, dict | list) else value}")


def _look(path: str) -> dict[str, Any]:
    from loco_stream.engine.checkpoint import newest
    from loco_stream.engine.state import model_of, state_sha256
    from loco_stream.persistence import format as persist

    damage: list[str] = []
    if Path(path).is_dir():
        file, saved, damage = newest(path)
    else:
        file = Path(path)
        saved = persist.read(path)
    kind, model, arrays = model_of(saved)
    config = saved.config if saved.kind == "checkpoint" else {}
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "kind": saved.kind,
        "model": kind,
        "version": config.get("version"),
        "task": config.get("task"),
        "n_samples": config.get("n_samples", model.get("n_seen")),
        "sources": _sources(config),
        "settings": config.get("settings"),
        "state_sha256": state_sha256(model, arrays),
        "parameters": sum(array.size for array in arrays.values()),
        "damaged": damage,
    }


def _sources(config: dict[str, Any]) -> dict[str, Any]:
    """Return how far each source was read: `{source: {epoch.

    Seq}}`, or one source and its position.
    """
    position = config.get("position") or {}
    if position.keys() == {"within", "beside"}:
        beside = {name: highest for name, (highest, _) in position["beside"].items()}
        return {**_sources({**config, "position": position["within"]}), "beside": beside}
    if all(isinstance(value, dict) for value in position.values()) and position:
        return {name: epochs for name, epochs in position.items() if name}
    return {config["source"]: position} if "source" in config else {}

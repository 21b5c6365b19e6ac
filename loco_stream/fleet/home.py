"""A fleet's directory: what it was begun with, and the lock that keeps a second fleet out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loco_stream.engine.checkpoint import CheckpointFolder
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.estimators._estimator import LOCOEstimator
from loco_stream.estimators.saving import load, save
from loco_stream.fleet.keyed_model import Maker
from loco_stream.fleet.rows import Key
from loco_stream.monitor import TaskMonitor
from loco_stream.persistence.files import atomic_write
from loco_stream.persistence.version_2.monitor import monitor_settings

__all__ = ["Home", "make_maker"]

_FORMAT = 2


class Home:
    """The directory of one running fleet.

    Parameters
    ----------
    path, model, key_groups, monitor
        See `Fleet`.

    Attributes
    ----------
    epoch
        How often the directory was opened: rows that come without numbers are told apart by it.
    """

    def __init__(
        self, path: Path, model: LOCOEstimator | None, key_groups: int, monitor: TaskMonitor | None
    ) -> None:
        self.path = path
        if model is not None and not isinstance(model, LOCOEstimator):
            raise ConfigError(
                f"model is of type {type(model).__name__}; allowed are LOCOClassifier, LOCORegressor, or None for the "
                "one that the directory was begun with"
            )
        self._folder = CheckpointFolder(path)
        try:
            begun = _settings(path)
            watch = None if monitor is None else json.loads(json.dumps(monitor.settings))
            if begun is None:
                if model is None:
                    raise ConfigError(
                        f"there is no fleet in {path}; give the model that its keys start from"
                    )
                save(model, path / "template.loco")
                begun = {"format": _FORMAT, "key_groups": key_groups, "watch": watch, "epoch": 0}
            elif begun["key_groups"] != key_groups:
                raise ConfigError(
                    f"{path} was begun with key_groups = {begun['key_groups']}, so it cannot go on with {key_groups}"
                )
            self.template = load(path / "template.loco")
            if model is not None and _digest(model) != _digest(self.template):
                raise ConfigError(f"{path} was begun with another model; give that one, or None")
            self.epoch = begun["epoch"] + 1
            self._watch = watch
            text = json.dumps({**begun, "watch": watch, "epoch": self.epoch})
            atomic_write(path / "fleet.json", text.encode(), mode=0o600)
        except BaseException:
            self._folder.release()
            raise

    def maker(self) -> Maker:
        """Return what makes the models of keys."""
        return Maker(self.template, self._watch)

    def wake(self, key: Key, content: bytes) -> Any:
        """Return the model in a key's stored state."""
        return Maker(self.template).wake(key, content).model

    def close(self) -> None:
        """Let another fleet use the directory."""
        self._folder.release()


def make_maker(path: Path) -> Maker:
    """Return what makes the models of the fleet in a directory.

    A worker reads it there, nothing is pickled.
    """
    settings = _settings(path)
    assert settings is not None
    return Maker(load(path / "template.loco"), settings["watch"])


def _settings(path: Path) -> dict[str, Any] | None:
    try:
        settings = json.loads((path / "fleet.json").read_text())
        if settings["format"] not in (1, _FORMAT):
            raise CheckpointError(f"{path} holds a fleet of a newer version; update loco-stream")
        if settings["format"] == 1 and settings["watch"] is not None:
            settings["watch"] = monitor_settings(settings["watch"])
        return {
            "format": _FORMAT,
            **{name: settings[name] for name in ("key_groups", "watch", "epoch")},
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path / 'fleet.json'} cannot be read: {error}") from error


def _digest(model: LOCOEstimator) -> str:
    return state_sha256(*export_model(model))

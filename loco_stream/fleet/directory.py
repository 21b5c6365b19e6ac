"""The directory of a fleet: its template and settings, and a lock against a second fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from loco_stream.engine.checkpoint import CheckpointFolder
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.estimators.classifier import LOCOClassifier
from loco_stream.estimators.regressor import LOCORegressor
from loco_stream.estimators.saving import load, save
from loco_stream.fleet.keyed_model import ModelFactory
from loco_stream.monitor import TaskMonitor
from loco_stream.persistence.files import atomic_write
from loco_stream.persistence.version_2.monitor import monitor_settings

__all__ = ["FleetDir", "Settings", "model_factory", "stored_settings"]

Settings: TypeAlias = Mapping[str, Any]  # plain values by name

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class _Header:
    """The content of fleet.json; its fields are the names in the file."""

    format: int
    key_groups: int
    watch: Settings | None  # settings of the monitor of each key
    epoch: int
    settings: Settings | None = None  # those given at the beginning, since release 0.3


class FleetDir:
    """The directory of one open fleet.

    Parameters
    ----------
    path, model, key_groups, monitor, settings
        See `Fleet`.

    Attributes
    ----------
    template
        The model that the model of a new key starts from.
    epoch
        How often the directory was opened. It distinguishes rows of different runs that come
        without numbers.
    """

    def __init__(
        self,
        path: Path,
        model: LOCOClassifier | LOCORegressor | None,
        key_groups: int,
        monitor: TaskMonitor | None,
        settings: Settings | None = None,
    ) -> None:
        self.path = path
        if model is not None and not isinstance(model, LOCOClassifier | LOCORegressor):
            raise ConfigError(
                "`model` must be a LOCOClassifier, a LOCORegressor, or None for the model that the "
                f"directory was begun with, got {type(model).__name__}"
            )
        self._folder = CheckpointFolder(path)
        try:
            given = json.loads(json.dumps(settings))  # as the file holds them: lists, no tuples
            header = _read(path) or self._begin(model, key_groups, given)
            _compare(path, header, key_groups, given)
            self.template = load(path / "template.loco")
            if model is not None and _digest(model) != _digest(self.template):
                raise ConfigError(
                    f"`model` must equal the one that {path} was begun with, or be None"
                )
            self._watch = None if monitor is None else json.loads(json.dumps(monitor.settings))
            self.epoch = header.epoch + 1
            _write(path, replace(header, watch=self._watch, epoch=self.epoch))
        except BaseException:
            self._folder.release()
            raise

    def _begin(
        self,
        model: LOCOClassifier | LOCORegressor | None,
        key_groups: int,
        settings: Settings | None,
    ) -> _Header:
        if model is None:
            raise ConfigError(f"`model` must be given: there is no fleet in {self.path}")
        save(model, self.path / "template.loco")
        return _Header(_FORMAT, key_groups, None, 0, settings)

    def model_factory(self) -> ModelFactory:
        """Return the factory of the keys' models."""
        return ModelFactory(self.template, self._watch)

    def close(self) -> None:
        """Release the directory."""
        self._folder.release()


def model_factory(path: Path) -> ModelFactory:
    """Return the factory of the fleet in a directory.

    A worker reads it from there, so that no model is pickled.
    """
    header = _read(path)
    assert header is not None
    return ModelFactory(load(path / "template.loco"), header.watch)


def stored_settings(path: str | Path) -> Settings | None:
    """Return the settings that a fleet was begun with.

    None without a fleet; empty for a fleet that was begun without settings, or by release 0.2.
    """
    header = _read(Path(path))
    return None if header is None else header.settings or {}


def _read(path: Path) -> _Header | None:
    try:
        content = json.loads((path / "fleet.json").read_text())
        if content["format"] not in (1, _FORMAT):
            raise CheckpointError(f"{path} holds a fleet of a newer version; update loco-stream")
        if content["format"] == 1 and content["watch"] is not None:
            content["watch"] = monitor_settings(content["watch"])
        content["format"] = _FORMAT
        known = [field.name for field in fields(_Header)]
        return _Header(**{name: content[name] for name in known if name in content})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read {path / 'fleet.json'}: {error}") from error


def _write(path: Path, header: _Header) -> None:
    content = {name: value for name, value in asdict(header).items() if name != "settings" or value}
    atomic_write(path / "fleet.json", json.dumps(content).encode(), mode=0o600)


def _compare(path: Path, header: _Header, key_groups: int, settings: Settings | None) -> None:
    """Raise `ConfigError` if the fleet was begun with other settings than the given ones."""
    begun = {"key_groups": header.key_groups, **(header.settings or {})}
    for name, value in {"key_groups": key_groups, **(settings or {})}.items():
        if name in begun and begun[name] != value:
            was = f"{path} was begun with {name} = {begun[name]!r}"
            raise ConfigError(f"{was}, so it cannot continue with {value!r}")


def _digest(model: LOCOClassifier | LOCORegressor) -> str:
    return state_sha256(*export_model(model))

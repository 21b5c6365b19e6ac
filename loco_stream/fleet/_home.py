"""What a fleet was begun with: its template and settings, and a lock against a second fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, TypeAlias

from loco_stream._persistence.content import Plain
from loco_stream._persistence.files import StrPath
from loco_stream._persistence.format import from_bytes, to_bytes
from loco_stream._persistence.version_2.monitor import monitor_settings
from loco_stream.engine._adapters import check_monitor
from loco_stream.engine._model_adapter import task_of
from loco_stream.engine._state import export_model, model_of, state_sha256
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._decision import Decision
from loco_stream.estimators._detector import LOCODetector
from loco_stream.estimators._pipeline import ESTIMATORS, Estimator
from loco_stream.fleet._keyed_model import ModelFactory
from loco_stream.fleet._sharing import (
    MODES,
    NONE,
    PRIOR,
    START,
    SharedModel,
    blank_of,
    check_template,
)
from loco_stream.fleet._storage import Storage, open_storage
from loco_stream.monitor import TaskMonitor

Settings: TypeAlias = Mapping[str, Any]  # plain values by name

_TEMPLATES = " or ".join(ESTIMATORS)
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class _Header:
    """The content of fleet.json; its fields are the names in the file.

    Fields with a default are left out where they have it: release 0.2 does not know them.
    """

    format: int
    key_groups: int
    watch: Settings | None  # settings of the monitor of each key
    epoch: int
    settings: Settings | None = None  # those given at the beginning
    share: str = "none"
    shared: str | None = None  # name of the file of the shared model
    decision: Plain = None  # rule for all keys; None is that of the template
    groups: Sequence[int] = ()  # key groups that held models when it was opened or closed last


class FleetHome:
    """What one open fleet was begun with.

    storage, model, key_groups, monitor, settings: see `Fleet`

    Its attributes:
    template: the model that the model of a new key starts from
    epoch: how often the fleet was opened. It distinguishes rows of different runs that come without
        numbers.
    """

    def __init__(
        self,
        storage: Storage,
        model: Estimator | None,
        key_groups: int,
        monitor: TaskMonitor | None,
        settings: Settings | None = None,
        share: str = "none",
    ) -> None:
        self.storage = storage
        _check_options(model, share, monitor)
        self._n_shared = 0
        storage.lock()
        try:
            as_stored = json.loads(json.dumps(settings))  # with lists in place of tuples
            header = _read(storage) or self._begin(model, key_groups, as_stored, share)
            _compare(storage, header, key_groups, as_stored)
            self.template = load_template(storage)
            if model is not None and _digest(model) != _digest(self.template):
                raise ConfigError(
                    f"`model` must equal the one that {storage.location} was begun with, or be None"
                )
            if monitor is not None:
                check_monitor(monitor, task_of(self.template))
            self._watch = None if monitor is None else json.loads(json.dumps(monitor.settings))
            if header.share != share:
                raise ConfigError(
                    f"{storage.location} was begun with share = {header.share!r}, so it cannot "
                    f"continue with {share!r}"
                )
            self.epoch = header.epoch + 1
            groups = _present_groups(storage, header)
            merged = header.settings
            if merged is not None:  # and what was added since
                merged = {**(as_stored or {}), **merged}
            self._header = replace(
                header, watch=self._watch, epoch=self.epoch, groups=groups, settings=merged
            )
            _write(storage, self._header)
        except BaseException:
            storage.release()
            raise

    def _begin(
        self,
        model: Estimator | None,
        key_groups: int,
        settings: Settings | None,
        share: str,
    ) -> _Header:
        if model is None:
            raise ConfigError(
                f"`model` must be given: there is no fleet in {self.storage.location}"
            )
        if share != NONE:
            check_template(model, share)
        self.storage.write_template(file_of(model))
        return _Header(_FORMAT, key_groups, None, 0, settings, share)

    def model_factory(self) -> ModelFactory:
        """Return the factory of the keys' models."""
        return model_factory(self.storage)

    @property
    def decision(self) -> Decision | None:
        """The rule by which classes are chosen for keys without their own."""
        return _decision(self._header, self.template)

    def replace_decision(self, decision: Decision | None) -> Plain:
        """Store another rule; return it as plain values.

        Raises `ConfigError` if a label cannot be stored.
        """
        plain = (decision or Decision({}, {})).to_plain()
        if json.loads(json.dumps(plain, default=str)) != plain:
            raise ConfigError("labels of a rule must be texts, numbers or truth values")
        self._replace(decision=plain)
        return plain

    def _replace(self, **values: Any) -> None:
        """Store other values of the header; they hold once they are stored."""
        header = replace(self._header, **values)
        _write(self.storage, header)
        self._header = header

    @property
    def shares(self) -> bool:
        """Whether keys share a model."""
        return self._header.share != NONE

    def start_of(self, name: str | None) -> LOCOClassifier | None:
        """Return what keys begin with by the name of its file; None if they begin with scales."""
        if self._header.share != START:
            return None
        template: LOCOClassifier = self.template
        return template if name is None else load_shared(self.storage, name)

    def replace_shared(self, model: LOCOClassifier) -> str:
        """Store a new shared model, then make it the valid one; return its name.

        One that keys began with is kept, since what they add to it is computed from it.
        """
        before = self._header.shared
        name = f"shared-{self.epoch}-{self._n_shared}.loco"
        self._n_shared += 1
        self.storage.write_shared(name, file_of(model))
        self._replace(shared=name)
        if before is not None and self._header.share != START:
            self.storage.delete_shared(before)
        return name

    def close(self) -> None:
        """Note which groups there are, and let another fleet work here."""
        try:
            groups = sorted({*self._header.groups, *self.storage.list_groups()})
            if groups != [*self._header.groups]:
                self._replace(groups=groups)
        except (OSError, ConfigError):  # it is gone or read-only: the next opening raises
            pass
        finally:
            self.storage.release()


def file_of(model: Estimator) -> bytes:
    """Return a model as the content of a file."""
    config, arrays = model.export_state()
    return to_bytes(config["kind"], config, arrays)


def model_factory(storage: Storage) -> ModelFactory:
    """Return the factory of a fleet.

    A worker reads it from the storage, so that no model is pickled.
    """
    header = _read(storage)
    assert header is not None
    template = load_template(storage)
    decision = _decision(header, template)
    if header.share == NONE:
        return ModelFactory(template, header.watch, None, decision)
    assert isinstance(template, LOCOClassifier)
    model = template if header.shared is None else load_shared(storage, header.shared)
    shared = SharedModel(header.share, model, header.shared)
    return ModelFactory(
        blank_of(template) if header.share == PRIOR else template, header.watch, shared, decision
    )


def _decision(header: _Header, template: Estimator) -> Decision | None:
    if header.decision is not None:
        return Decision.from_plain(header.decision)
    rule = template.decision if isinstance(template, LOCOClassifier) else None
    return None if rule is None else Decision.checked(**rule)


def load_shared(storage: Storage, name: str) -> LOCOClassifier:
    """Return a shared model.

    Raises `CheckpointError` if the file is missing or damaged.
    """
    kind, config, arrays = model_of(from_bytes(storage.read_model(name), name))
    if kind != LOCOClassifier.__name__:
        raise CheckpointError(f"{name} holds a {kind}, not a shared model")
    return LOCOClassifier.from_state(config, arrays)


@dataclass(frozen=True, slots=True)
class StoredFleet:
    """What a fleet was begun with, and its last monitor.

    `settings` are empty for a fleet that was begun without settings, or by release 0.2.
    """

    key_groups: int
    share: str
    monitor: TaskMonitor | None
    settings: Settings


def stored_fleet(location: StrPath) -> StoredFleet | None:
    """Return what the fleet at a location was begun with; None if there is no fleet."""
    header = _read(open_storage(location))
    if header is None:
        return None
    monitor = None if header.watch is None else TaskMonitor(**header.watch)
    return StoredFleet(header.key_groups, header.share, monitor, header.settings or {})


def _read(storage: Storage) -> _Header | None:
    where = storage.location
    try:
        found = storage.read_header()
        if found is None:
            return None
        content = json.loads(found)
        if content["format"] not in (1, _FORMAT):
            raise CheckpointError(f"{where} holds a fleet of a newer version; update loco-stream")
        if content["format"] == 1 and content["watch"] is not None:
            content["watch"] = monitor_settings(content["watch"])
        content["format"] = _FORMAT
        known = [field.name for field in fields(_Header)]
        return _Header(**{name: content[name] for name in known if name in content})
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read the settings in {where}: {error}") from error


def _write(storage: Storage, header: _Header) -> None:
    """Write the settings."""
    content = asdict(header)
    for field in fields(_Header):
        value = content[field.name]
        if field.default is not MISSING and (not value or value == field.default):
            del content[field.name]
    storage.write_header(json.dumps(content).encode())


def load_template(storage: Storage) -> Estimator:
    """Return the model that a fleet was begun with."""
    saved = from_bytes(storage.read_model(), f"the template of {storage.location}")
    kind, config, arrays = model_of(saved)
    if kind not in ESTIMATORS:
        raise CheckpointError(f"the template of {storage.location} is a {kind}, not a model")
    return ESTIMATORS[kind].from_state(config, arrays)


def _check_options(model: object, share: str, monitor: TaskMonitor | None) -> None:
    if share not in MODES:
        raise ConfigError(f"`share` must be 'none', 'start' or 'prior', got {share!r}")
    if isinstance(model, type):
        raise ConfigError(f"`model` must be an object, got the class {model.__name__}")
    if model is not None and not isinstance(model, Estimator):
        raise ConfigError(
            f"`model` must be a {_TEMPLATES}, or None for the model that the directory was begun "
            f"with, got {type(model).__name__}"
        )
    if isinstance(model, LOCODetector) and (monitor is not None or share != NONE):
        raise ConfigError("`monitor` must be None and `share` 'none' with a LOCODetector")


def _present_groups(storage: Storage, header: _Header) -> list[int]:
    """Return the key groups that are there; raises `CheckpointError` if one is missing."""
    groups = storage.list_groups()
    if missing := sorted({*header.groups} - {*groups}):
        raise CheckpointError(
            f"{storage.location} lacks group-{missing[0]:04d}, which held models; put it "
            f"back, or delete {missing[0]} from `groups` in fleet.json to go on without"
        )
    return groups


def _compare(storage: Storage, header: _Header, key_groups: int, settings: Settings | None) -> None:
    """Raise `ConfigError` if the fleet was begun with other settings than the given ones."""
    begun = {"key_groups": header.key_groups, **(header.settings or {})}
    for name, value in {"key_groups": key_groups, **(settings or {})}.items():
        if name in begun and begun[name] != value:
            was = f"{storage.location} was begun with {name} = {begun[name]!r}"
            raise ConfigError(f"{was}, so it cannot continue with {value!r}")


def _digest(model: Estimator) -> str:
    return state_sha256(*export_model(model))

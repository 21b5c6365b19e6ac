"""Roles of the fields of a message: label, event time, id, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from loco_stream._problems import split_names
from loco_stream.errors import ConfigError, SourceError

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class FieldRoles:
    """Roles of the fields of a message.

    Parameters
    ----------
    target, time
        Fields of the label and of the event time. Several targets are separated by commas.
    id
        Field of the row's id; it is not a feature. None: rows have no ids.
    keep
        Fields that the record of the prediction repeats; they may be features too.
    drop
        Fields that are not features.
    use
        The only fields that are features; empty for all.
    only_labels
        Whether every message is a label, as in a topic of labels, whatever other fields it has.

    Raises
    ------
    ConfigError
        A field is both in `use` and in `drop`, or is used as a feature and as something else, or a
        label is the time or the id as well.

    Examples
    --------
    >>> fields = FieldRoles(id="order", keep=("press",), drop=("press",))
    >>> message = {"order": 7, "press": "P3", "speed": 0.4}
    >>> fields.features(message), fields.kept(message), fields.label_in({"order": 7, "label": "ok"})
    ({'speed': 0.4}, {'press': 'P3'}, (7, 'ok'))
    """

    target: str = "y"
    time: str = "t"
    id: str | None = None
    keep: Sequence[str] = ()
    drop: Sequence[str] = ()
    use: Sequence[str] = ()
    only_labels: bool = False

    def __post_init__(self) -> None:
        if self.id == "":
            raise ConfigError("`id` must be the name of a field, got an empty one")
        refuse_label_as("time", self.time, self.labels)
        refuse_label_as("id", self.id, self.labels)
        for name in self.use:
            if name in self.drop:
                raise ConfigError(f"`use` and `drop` must not have a field in common, got {name!r}")
            if name in (*self.labels, self.time, self.id):
                raise ConfigError(f"`use` must name features only, got {name!r}")

    @property
    def labels(self) -> tuple[str, ...]:
        """The fields of the label: one, several targets, or none."""
        return label_names(self.target)

    @property
    def roles(self) -> dict[str, str]:
        """What the fields are that are not features, by name."""
        label = "the label" if len(self.labels) < 2 else "a target"
        roles: dict[str | None, str] = {
            **dict.fromkeys(self.drop, "dropped"),
            self.time: "the event time",
            self.id: "the id of the row",
            **dict.fromkeys(self.labels, label),
        }
        return {name: role for name, role in roles.items() if name}

    def label(self, values: Mapping[str, Any]) -> Any:
        """Return the label in a message, None if it is missing; a dict if it has several targets.

        Examples
        --------
        >>> FieldRoles(target="heat,flow").label({"heat": 20.5, "flow": None, "load": 3})
        {'heat': 20.5}
        """
        names = self.labels
        if len(names) < 2:
            return values.get(self.target)
        return {name: values[name] for name in names if values.get(name) is not None} or None

    def features(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are features."""
        if self.use:
            return {name: values[name] for name in self.use if name in values}
        others = {*self.labels, self.time, self.id, *self.drop}
        return {name: value for name, value in values.items() if name not in others}

    def select(self, x: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the features among values of which none is a label or a time."""
        if self.use:
            return {name: x[name] for name in self.use if name in x}
        if not self.drop and self.id is None:
            return x
        others = {self.id, *self.drop}
        return {name: value for name, value in x.items() if name not in others}

    def kept(self, *values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that the record repeats, from the first mapping that has each."""
        found = {}
        for name in self.keep:
            value = next((v[name] for v in values if name in v), None)
            found[name] = value if isinstance(value, _PLAIN) else str(value)
        return found

    def label_in(self, values: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return id and label of a message that has nothing else; None if it is a row.

        Raises
        ------
        SourceError
            The message had to be a label, and has no id or no label.
        """
        if self.only_labels:
            return self._label_among(values)
        ids = {"id"} if self.id is None else {"id", self.id}
        if len(self.labels) > 1 and self.id in values and "label" not in values:
            return self._targets_in(values)
        labels = {"label"} if self.id is None else {"label", self.target}
        names = set(values)
        id_names = names & ids
        label_names = names & labels
        if len(id_names) != 1 or len(label_names) != 1:
            return None
        if not names <= ids | labels | {self.time, "t", "seq"}:
            return None
        return values[id_names.pop()], values[label_names.pop()]

    def _label_among(self, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return id and label of a message that may have other fields as well."""
        names = ("id",) if self.id is None else (self.id, "id")
        row_id = next((values[name] for name in names if name in values), None)
        label = values["label"] if "label" in values else self.label(values)
        if row_id is None or ("label" not in values and label is None):
            raise SourceError(
                "a label must be a map with 'id' and 'label', got one with the fields "
                f"{quoted(list(map(str, values)))}"
            )
        return row_id, label

    def _targets_in(self, values: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return id and targets of a message that has nothing else; None if it is a row."""
        y = self.label(values)
        is_label = values.keys() <= {self.id, *self.labels, self.time, "t", "seq"}
        return (values[self.id or ""], y) if is_label and y is not None else None


@lru_cache(maxsize=64)
def label_names(target: str) -> tuple[str, ...]:
    """Return the fields that a target names, which are separated by commas."""
    return split_names(target)


def check_target(target: str) -> None:
    """Check the names that a target lists.

    Raises
    ------
    ConfigError
        One of several is empty, or comes twice.
    """
    parts = target.split(",")
    if len(parts) > 1 and len(label_names(target)) < len(parts):
        raise ConfigError(f"`target` must be distinct names separated by commas, got {target!r}")


def refuse_label_as(role: str, name: str | None, labels: Sequence[str]) -> None:
    """Raise `ConfigError` if the field of another role is one of the labels."""
    if name in labels:
        raise ConfigError(f"`target` must be another field than `{role}`, got {name!r} for both")


def quoted(names: Sequence[str]) -> str:
    """Return names in quotes, separated by commas."""
    return ", ".join(map(repr, names))


DEFAULT_FIELDS = FieldRoles()

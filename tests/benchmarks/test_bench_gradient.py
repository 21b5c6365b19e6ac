"""The gradient bench: perturbed passes estimate its true gradient, and credit points along it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import data, gradient
from benchmarks.report import document
from loco_stream.errors import ConfigError


def _invoke(out, *arguments):
    result = CliRunner().invoke(
        gradient.command, [*arguments, "--out", str(out)], env={"COLUMNS": "200"}
    )
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def trained():
    X, y = data.load("digits")
    saved = gradient._trained("mirror", 1000, 1)
    return (
        saved,
        X[-8:],
        y[-8:].tolist(),
        gradient.smoothed_gradient(saved, X[-8:], y[-8:].tolist(), 40, 1),
    )


@pytest.mark.slow
def test_gradient_with_little_data(tmp_path):
    arguments = ("--samples", "100,200", "--rows", "2", "--draws", "3", "--seeds", "1")
    text = _invoke(tmp_path, *arguments)
    assert "squared error of the estimated gradient" in text
    assert "node perturbation, 32 passes" in text
    runs = json.loads((tmp_path / "gradient.json").read_text())["runs"]
    assert set(runs) == {"digits/100/0", "digits/200/0"}
    assert runs["digits/100/0"]["orthogonal/1"] > runs["digits/100/0"]["orthogonal/64"]
    measured = runs["digits/100/0"].keys()
    assert {f"{name}/{layer}" for name in gradient._CREDITS for layer in (1, 2, 3)} <= measured
    assert "2 of 2 results are already" in _invoke(tmp_path, *arguments)
    assert "## gradient" in document(tmp_path)


def test_samples_out_of_range_are_refused(tmp_path):
    message = "`--samples` must be integers from 100 to 1700, got '50'"
    with pytest.raises(ConfigError, match=message):
        _invoke(tmp_path, "--samples", "50")


@pytest.mark.slow
def test_the_plain_net_equals_the_compiled_one(trained):
    saved, X, _, _ = trained
    model, state, scratch = gradient._net(saved)
    for row in X:
        model.predict_array(row[None])
        scores = scratch.now.combined[: len(model.classes)]
        weighted = scratch.code.channels.astype(float) @ state.net.weights
        loss = gradient._losses(state, model, weighted, 3, np.zeros((1, 96)))
        assert loss[0] == pytest.approx(np.logaddexp.reduce(scores) - scores[3], abs=1e-4)


def test_the_mean_of_many_perturbations_is_the_true_gradient(trained):
    saved, X, y, truth = trained
    found = gradient.credits_of(saved, X, y, 30, passes=64, **gradient._PLAIN)
    mean = found.mean(axis=0, keepdims=True)
    assert gradient.relative_error(mean, truth) < 0.1  # 4 with the other sign
    assert 0.2 < gradient.relative_error(found, truth) < 5.0


def test_credit_points_along_the_gradient_in_every_layer(trained):
    saved, X, y, truth = trained
    found = gradient.credits_of(saved, X, y, 1)
    assert max(gradient.angles(found, truth.mean(axis=0))) < 70.0  # above 110 with the other sign
    assert max(gradient.angles(truth[:1], truth[1])) < 30.0


def test_measuring_undoes_each_step(trained):
    saved, X, y, _ = trained
    before = {name: array.copy() for name, array in saved[1].items()}
    first, again = (gradient.credits_of(saved, X, y, 2, **gradient._PLAIN) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    alone = gradient.credits_of(saved, X[:1], y[:1], 1, **gradient._PLAIN)
    assert np.array_equal(first[0, 0], alone[0, 0])
    assert all(np.array_equal(saved[1][name], array) for name, array in before.items())

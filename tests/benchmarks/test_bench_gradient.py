"""The gradient bench: its true gradient is what perturbed passes estimate, and credit points along it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import data, gradient
from benchmarks.report import document
from loco_stream import LOCOClassifier
from loco_stream.errors import ConfigError


def _invoke(out, *arguments):
    result = CliRunner().invoke(gradient.command, [*arguments, "--out", str(out)], env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return result.output


def _trained(n_samples):
    X, y = data.load("digits")
    model = LOCOClassifier((32, 32, 32), readout="delta", readout_layers="last", seed=1)
    model.learn_array(X[:n_samples], y[:n_samples])
    return model.export_state(), X[-8:], y[-8:].tolist()


@pytest.fixture(scope="module")
def trained():
    saved, X, y = _trained(1000)
    return saved, X, y, gradient.smoothed_gradient(saved, X, y, 100, 1)


def test_gradient_in_small(tmp_path):
    arguments = ("--samples", "100,200", "--rows", "2", "--draws", "3", "--seeds", "1")
    text = _invoke(tmp_path, *arguments)
    assert "squared error of the perturbations' gradient" in text
    assert "paper's credit, 32 passes" in text
    runs = json.loads((tmp_path / "gradient.json").read_text())["runs"]
    assert set(runs) == {"digits/100/0", "digits/200/0"}
    assert runs["digits/100/0"]["independent/1"] > runs["digits/100/0"]["independent/64"]
    assert "2 of 2 results are already" in _invoke(tmp_path, *arguments)
    assert "## gradient" in document(tmp_path)
    with pytest.raises(ConfigError, match="--samples is '50'; allowed are whole numbers from 100 to 1700"):
        _invoke(tmp_path, "--samples", "50")


@pytest.mark.parametrize("cluster_size", [1, 32])
@pytest.mark.parametrize("antithetic", [False, True])
def test_the_mean_of_many_perturbations_is_the_true_gradient(trained, cluster_size, antithetic):
    saved, X, y, truth = trained
    settings = {"credit": "perturbation", "cluster_size": cluster_size, "antithetic": antithetic}
    found = gradient.credits_of(saved, X, y, 100, n_perturbations=64, **settings)
    assert gradient.relative_error(found.mean(axis=0, keepdims=True), truth) < 0.2  # 4 with the other sign
    assert 0.5 < gradient.relative_error(found, truth) < 10.0


def test_learned_credit_points_along_the_gradient_in_every_layer(trained):
    saved, X, y, truth = trained
    found = gradient.credits_of(saved, X, y, 1)
    assert max(gradient.angles(found, truth.mean(axis=0))) < 82.0  # above 98 with the other sign
    assert max(gradient.angles(truth[:1], truth[1])) < 40.0


def test_orthogonal_perturbations_vary_less_than_independent_ones(trained):
    saved, X, y, truth = trained
    settings = {"credit": "perturbation", "n_perturbations": 32, "antithetic": True}
    independent, orthogonal = (
        gradient.relative_error(gradient.credits_of(saved, X, y, 50, cluster_size=size, **settings), truth)
        for size in (1, 32)
    )
    assert orthogonal < 0.9 * independent


def test_measuring_undoes_each_step(trained):
    saved, X, y, _ = trained
    before = {name: array.copy() for name, array in saved[1].items()}
    first, again = (gradient.credits_of(saved, X, y, 2, credit="perturbation") for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    alone = gradient.credits_of(saved, X[:1], y[:1], 1, credit="perturbation")
    assert np.array_equal(first[0, 0], alone[0, 0])
    assert all(np.array_equal(saved[1][name], array) for name, array in before.items())

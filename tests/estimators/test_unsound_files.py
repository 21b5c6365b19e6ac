"""A model from a file answers with numbers, or is refused; `inspect` says which."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import (
    AdvancedOptions,
    LOCOClassifier,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    load,
    save,
)
from loco_stream._cli.inspect import command
from loco_stream._persistence import format as persist
from loco_stream.errors import CheckpointError
from loco_stream.estimators._core import ModelCore
from tests.helpers.models import blobs


def test_a_sound_model_has_no_fault(tmp_path):
    model = LOCOClassifier(hidden_sizes=(8,), seed=0)
    model.learn_array(*blobs(200))
    path = tmp_path / "model.loco"
    save(model, path)
    assert np.isfinite(load(path).predict_proba_array(blobs(3)[0])).all()
    assert inspected(path)["fault"] is None


def test_negative_squares_are_refused(tmp_path):
    model = LOCOClassifier(hidden_sizes=(8,), seed=0)
    model.learn_array(*blobs(200))
    config, arrays = model.export_state()
    damaged = {**arrays, "statistics.squares": -arrays["statistics.squares"]}
    path = tmp_path / "model.loco"
    persist.write(path, config["kind"], config, damaged)
    with pytest.raises(CheckpointError) as refused:
        load(path)
    assert inspected(path)["fault"] == str(refused.value)


def damaged_copy(model, path, name, change):
    """Save a model with one array changed."""
    config, arrays = model.export_state()
    array = arrays[name].copy()
    change(array)
    persist.write(path, config["kind"], config, {**arrays, name: array})
    return path


NARROW = {"hidden_sizes": (8,), "seed": 0}
WIDE = {
    **NARROW,
    "advanced": AdvancedOptions(receptive_fields=1, readout_layers="hidden", fixed_neurons=16),
}
WAITING = [("discriminant", NARROW), ("discriminant", WIDE), ("least_squares", WIDE)]


def waiting_model(expert, options):
    """Return a model with rows that wait, for an expert to learn several together."""
    model = LOCOClassifier(**options)
    X, y = blobs(80)
    model.learn_array(X, y)
    while getattr(model._core.state.experts, expert).n_waiting[0] == 0:
        model.learn_array(X[:1], y[:1])
    return model


@pytest.mark.parametrize("count", [17, 2**62, -1])
@pytest.mark.parametrize(("expert", "options"), WAITING)
@pytest.mark.parametrize("name", ["n_pending", "n_waiting"])
def test_a_number_of_pending_rows_beyond_its_array_is_refused(
    tmp_path, name, expert, options, count
):
    model = waiting_model(expert, options)

    def change(array):
        array[0] = count

    is_record = (name, expert) == ("n_pending", "least_squares")
    own = "counters" if is_record else name
    path = damaged_copy(model, tmp_path / "m.loco", f"experts.{expert}.{own}", change)
    with pytest.raises(CheckpointError, match=rf"{name}.* must be .*0 to \d.*, got"):
        load(path)


@pytest.mark.parametrize("classes", [(), (0, 1), (-1,)])
@pytest.mark.parametrize(("expert", "options"), WAITING)
def test_a_waiting_row_of_no_class_or_of_one_without_rows_is_refused(
    tmp_path, expert, options, classes
):
    model = waiting_model(expert, options)

    def change(array):
        array[0] = 0.0
        array[0, list(classes)] = 1.0

    path = damaged_copy(model, tmp_path / "m.loco", f"experts.{expert}.waiting_classes", change)
    with pytest.raises(CheckpointError, match=f"`waiting_classes` of '{expert}' must mark one"):
        load(path)


@pytest.mark.parametrize("count", [2**63 - 1, 2**60])
def test_counts_of_targets_that_would_overflow_are_refused(tmp_path, count):
    model = LOCOMultiTargetRegressor(hidden_sizes=4, seed=0)
    for i in range(30):
        model.learn_one({"a": i % 3}, {"heat": i % 3, "flow": i % 2})
    path = tmp_path / "m.loco"
    damaged_copy(model, path, "targets.residuals.counters", lambda array: array.fill(count))
    with pytest.raises(
        CheckpointError, match=r"'residuals.counters.n_residuals' must be finite, from 0"
    ):
        load(path)


def test_a_count_of_forecasts_that_would_overflow_is_refused(tmp_path):
    model = LOCOForecaster(hidden_sizes=4, heads=3, seed=0)
    for i in range(30):
        model.learn_one(float(i % 3))
    path = tmp_path / "m.loco"
    damaged_copy(model, path, "heads.counters", lambda array: array.fill(2**63 - 1))
    with pytest.raises(CheckpointError, match=r"'counters.n_rows' must be finite, from 0"):
        load(path)


def test_a_model_that_answers_with_what_is_no_number_is_refused(tmp_path, monkeypatch):
    model = LOCOClassifier(hidden_sizes=(8,), seed=0)
    model.learn_array(*blobs(200))
    path = tmp_path / "model.loco"
    save(model, path)

    def overflowing(self, rows, *args, proba, **options):
        proba[:] = np.nan
        return np.zeros(len(rows))

    monkeypatch.setattr(ModelCore, "run", overflowing)
    with pytest.raises(CheckpointError, match="its answer must be a number"):
        load(path)


def inspected(path):
    result = CliRunner().invoke(command, [str(path), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)

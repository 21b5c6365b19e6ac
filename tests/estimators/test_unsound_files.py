"""A model from a file answers with numbers, or is refused; `inspect` says which."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import LOCOClassifier, load, save
from loco_stream.cli.inspect import command
from loco_stream.errors import CheckpointError
from loco_stream.estimators._core import ModelCore
from loco_stream.persistence import format as persist
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

"""`python -m benchmarks drift` with little data, and streams with known changes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import changes, drift


def _run(tmp_path, *arguments):
    result = CliRunner().invoke(
        drift.command, [*arguments, "--out", str(tmp_path)], catch_exceptions=False
    )
    return result.output, json.loads((tmp_path / "drift.json").read_text())["runs"]


def test_error_table(tmp_path, monkeypatch):
    monkeypatch.setattr(
        changes, "ERRORS", {name: changes.ERRORS[name] for name in ("abrupt", "none .2")}
    )
    text, runs = _run(tmp_path, "--tables", "errors", "--only", "ADWIN,DDM", "--seeds", "1")
    assert "MTR" in text
    assert {"errors/abrupt/ADWIN gated/0", "errors/abrupt/ADWIN/0", "errors/none .2/DDM/0"} <= set(
        runs
    )
    gated, plain = (runs[f"errors/abrupt/ADWIN{kind}/0"] for kind in (" gated", ""))
    assert gated["false"] < plain["false"]
    assert len(gated["delays"]) + gated["missed"] == 5


@pytest.mark.slow
def test_confidence_trades_delay_for_false_alarms(tmp_path, monkeypatch):
    monkeypatch.setattr(drift, "_CONFIDENCES", (1e-2, 1e-4))
    text, runs = _run(tmp_path, "--tables", "confidence", "--stationary", "2000")
    assert "false at 0.4" in text
    loose, strict = (runs[f"confidence/HDDMA/{confidence}/0"] for confidence in ("0.01", "0.0001"))
    assert np.mean(loose["delays"]["0.1->0.5"]) < np.mean(strict["delays"]["0.1->0.5"])
    assert set(strict["false"]) == {"0.05", "0.2", "0.4"}
    assert strict["missed"] == 0


def test_input_table_names_what_it_leaves_out(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCO_STREAM_DATA", raising=False)
    names = ("permuted features", "split MNIST", "none: Gaussian")
    monkeypatch.setattr(changes, "INPUTS", {name: changes.INPUTS[name] for name in names})
    text, runs = _run(tmp_path, "--tables", "inputs", "--seeds", "1")
    assert "left out: split MNIST" in " ".join(text.split())
    assert len(runs["inputs/permuted features/energy/0"]["delays"]) == 5
    assert runs["inputs/none: Gaussian/energy/0"]["false"] == 0


@pytest.mark.parametrize("name", changes.ERRORS)
def test_errors_rise_at_the_known_changes(name):
    errors, starts = changes.errors(name, 0)
    assert set(np.unique(errors)) <= {0, 1}
    for start in starts[:1]:
        before = errors[start - 1000 : start].mean()
        after = errors[start : start + 10_000].mean()
        assert after > before
    assert np.array_equal(errors, changes.errors(name, 0)[0])

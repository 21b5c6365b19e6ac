"""`--missing VALUE` of run, watch, serve and fleet."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream._cli._engine_run import LearningSetup
from loco_stream._cli.main import main
from loco_stream.errors import ConfigError

SMALL = ["--set", "hidden_sizes=4"]


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Write a table of readings with fill values, and the same with empty cells."""
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(200, 2)).round(3).tolist()
    X[20][0] = X[60][1] = X[150][0] = "-9999"
    y = [f"{i % 7 + 0.5}" for i in range(200)]
    y[0] = y[90] = "999"
    lines = [f"{999 + i % 2},{a},{b},{y[i]}" for i, (a, b) in enumerate(X)]
    text = "\n".join(["device,a,b,y", *lines, ""])
    (tmp_path / "filled.csv").write_text(text)
    lines = [line[:4] + line[4:].replace("-9999", "").replace(",999", ",") for line in lines]
    (tmp_path / "empty.csv").write_text("\n".join(["device,a,b,y", *lines, ""]))


def loco(*arguments, **env):
    return CliRunner().invoke(main, list(map(str, arguments)), env=env)


def report_of(*arguments, **env):
    result = loco(*arguments, **env)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


FILLS = ["--missing", "-9999", "--missing", "999"]


def test_run_takes_them_for_empty_cells(tables):
    options = ["--json", "--quiet", *SMALL]
    url = "csv:{}.csv?target=y&drop=device"
    expected = report_of("run", url.format("empty"), *options)
    report = report_of("run", url.format("filled"), *options, *FILLS)
    assert (report.pop("n_fill_values"), expected.pop("n_fill_values")) == (5, 0)
    assert report["task"] == "regression"
    for name in ("n_samples", "n_unlabelled", "mae", "masked", "unused", "curve"):
        assert report[name] == expected[name], name


def test_the_environment_sets_them_for_watch(tables):
    url = "csv:{}.csv?drop=device,y"
    expected = report_of("watch", url.format("empty"), "--json", "--quiet")
    env = {"LOCO_STREAM_MISSING": "-9999 999"}
    report = report_of("watch", url.format("filled"), "--json", "--quiet", **env)
    assert report["n_fill_values"] == 3
    assert report["alarms"] == expected["alarms"]
    assert report["unusual"] == expected["unusual"]
    assert report["masked"] == expected["masked"]


@pytest.mark.parametrize("command", ["run", "watch", "serve", "fleet"])
def test_a_configuration_file_has_them(tables, tmp_path, command):
    path = tmp_path / "options.toml"
    path.write_text("missing = [-9999, 999.5]\n")
    arguments = {
        "serve": ["--http", 8080, "--checkpoint", "s"],
        "fleet": ["csv:filled.csv", "--key", "device", "--checkpoint", "s"],
    }.get(command, ["csv:filled.csv"])
    shown = loco(command, *arguments, "--config", path, "--print-config")
    assert tomllib.loads(shown.stdout)["missing"] == [-9999.0, 999.5]


def test_serve_passes_them_to_its_engine(tables, monkeypatch):
    def engine(*arguments):
        raise ConfigError(f"missing are {arguments[-1]['missing_values']}")

    monkeypatch.setattr(LearningSetup, "engine", engine)
    result = loco("serve", "--source", "csv:filled.csv?target=y", "--checkpoint", "s", *FILLS)
    assert "missing are (-9999.0, 999.0)" in result.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "none"])
def test_what_is_no_finite_number_is_refused(tables, value):
    refused = loco("watch", "csv:filled.csv", "--missing", value)
    assert refused.exit_code == 2
    sentence = f"loco-stream: `--missing` must be a finite number, got {value!r}\n"
    assert refused.stderr == sentence


def test_the_key_of_a_fleet_is_never_missing(tables):
    reports = {}
    for name, options in (("empty", []), ("filled", FILLS)):
        arguments = ["--key", "device", "--checkpoint", name, "--report", f"{name}.json"]
        url = f"csv:{name}.csv?target=y"
        result = loco("fleet", url, *arguments, *SMALL, *options)
        assert result.exit_code == 0, result.output
        reports[name] = json.loads(Path(f"{name}.json").read_text())
    expected = reports["empty"]
    report = reports["filled"]
    assert (report["n_fill_values"], report["n_keys"], report["n_without_key"]) == (5, 2, 0)
    assert report["n_unlabelled"] == 2
    assert report["worst"] == expected["worst"]
    assert "5 values counted as missing: named in `missing_values`" in report["notes"]


@pytest.mark.parametrize("command", ["run", "watch", "fleet"])
def test_what_is_started_again_keeps_them(tables, command):
    words = [command, "csv:filled.csv?target=y", "--checkpoint", "state"]
    if command == "fleet":
        begun = again = [*words, "--key", "device", *SMALL]
    else:
        begun = [*words, "--max-samples", 100]
        again = [*words, "--resume", "--report", "report.json"]
    done = loco(*begun, *FILLS)
    assert done.exit_code == 0, done.output
    done = loco(*again, *FILLS[2:], *FILLS[:2])  # in another order
    assert done.exit_code == 0, done.output
    done = loco(*again)
    assert done.exit_code == 0, done.output
    if command != "fleet":
        n_labels = 2 * (command == "run")
        n_devices = 100  # the column "device" is a feature here
        n = json.loads(Path("report.json").read_text())["n_fill_values"]
        assert n == 3 + n_labels + n_devices
    refused = loco(*again, "--missing", 5)
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1] == (
        "loco-stream: state was begun with --missing -9999.0 --missing 999.0, so it cannot "
        "continue with --missing 5.0"
    )


def test_they_can_be_added_to_a_run_that_was_begun_without_them(tables):
    words = ["run", "csv:filled.csv?target=y&drop=device", "--checkpoint", "state"]
    assert loco(*words, *SMALL, "--max-samples", 100).exit_code == 0
    report = report_of(*words, "--resume", "--json", "--quiet", *FILLS)
    assert report["n_fill_values"] == 1
    refused = loco(*words, "--resume", "--missing", 5)
    assert "state was begun with --missing -9999.0 --missing 999.0, so" in refused.stderr

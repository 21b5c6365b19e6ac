"""Commands and options of earlier releases fail and name their replacement."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from loco_stream._cli import main

SOURCE = "csv:rows.csv?target=kind"
SERVE = ["serve", "--source", SOURCE, "--checkpoint", "state"]
FLEET = ["fleet", SOURCE, "--key", "device", "--checkpoint", "state"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dashboard", SOURCE], "`loco-stream run SOURCE --dashboard --stay`"),
        (["bench", "speed"], "`python -m benchmarks NAME`"),
        (["run", SOURCE, "--predictions", "p.jsonl"], "`--sink jsonl:FILE?only=prediction`"),
        (["run", SOURCE, "--window", "9"], "`--score-window`"),
        ([*SERVE, "--window", "9"], "`--score-window`"),
        ([*SERVE, "--key", "device"], "`loco-stream fleet SOURCE --key FEATURE --checkpoint DIR`"),
        ([*SERVE, "--workers", "2"], "`loco-stream fleet SOURCE --key FEATURE`"),
        ([*SERVE, "--ray", "HOST:1"], "`loco-stream fleet SOURCE --key FEATURE`"),
        ([*SERVE, "--template", "m.loco"], "`loco-stream fleet SOURCE --key FEATURE`"),
        ([*FLEET, "--delay", "9"], "a fleet has no `--delay`"),
        ([*FLEET, "--score-window", "9"], "a fleet has no `--score-window`"),
        ([*FLEET, "--http", "8080"], "a fleet has no `--http`"),
    ],
)
def test_an_old_spelling_is_refused_in_one_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert sentence in line
    assert list(tmp_path.iterdir()) == []


def test_old_options_are_not_in_the_help():
    for name in ("run", "serve", "fleet"):
        text = CliRunner().invoke(main, [name, "--help"]).output
        assert "--predictions" not in text
        assert "--window " not in text
    assert "--key " not in CliRunner().invoke(main, ["serve", "--help"]).output


@pytest.mark.parametrize(
    ("words", "nearest"),
    [(["rnu"], "did you mean 'run'"), (["demo", "machin"], "did you mean 'machine'"), (["x"], "")],
)
def test_an_unknown_command_is_refused_with_the_nearest_name(words, nearest):
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert f"there is no command {words[-1]!r}{'; ' * bool(nearest)}{nearest}" in line
    assert "--help` lists all" in line

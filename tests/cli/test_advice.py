"""Errors of the library name no flags; the command adds them."""

from __future__ import annotations

import pickle

import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from loco_stream._cli._advice import advised
from loco_stream.connectors import open_source
from loco_stream.dashboard._http_api import HttpApi
from loco_stream.errors import ConfigError, SourceError


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ("on_bad", "--on-bad skip"),
        ("token", "--token FILE"),
        ("keys", "--keys DIR"),
        ("name", "--name"),
        ("allowed_hosts", "--allow-host NAME"),
    ],
)
def test_the_flag_of_an_option_is_added(option, flag):
    assert flag in advised(ConfigError("a sentence", option=option))
    assert advised(ConfigError("a sentence")) == "a sentence"
    assert advised(ConfigError("use --on-bad skip", option="on_bad")) == "use --on-bad skip"


def test_the_option_survives_pickle():
    error = pickle.loads(pickle.dumps(SourceError("a sentence", option="on_bad")))
    assert (str(error), error.option) == ("a sentence", "on_bad")


def test_errors_of_the_library_name_no_flags():
    for make, option in (
        (lambda: open_source("zmq+pull://0.0.0.0:5555"), "keys"),
        (lambda: HttpApi(None, 0, "0.0.0.0"), "token"),
    ):
        with pytest.raises((SourceError, ConfigError)) as caught:
            make()
        assert caught.value.option == option
        assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["run", "zmq+pull://0.0.0.0:5555"], "pass --keys DIR"),
        (
            ["serve", "--source", "csv:rows.csv?target=y", "--http", "0.0.0.0:8080"],
            "pass --token FILE",
        ),
        (
            ["run", "csv:rows.csv?target=y", "--dashboard", "--bind", "0.0.0.0", "--token", "t"],
            "NAME",
        ),
        (["keygen", "keys"], "choose another --name"),
    ],
)
def test_the_command_advises_the_flag(words, advice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("x,y\n1,a\n2,b\n")
    if words[0] == "keygen":
        CliRunner().invoke(main, words)
    if words[0] == "serve":
        words = [*words, "--checkpoint", "state"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2, refused.output
    assert advice in refused.stderr.splitlines()[-1]

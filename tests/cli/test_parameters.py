"""`--set` and `--preset`: values, help, completion and refusals."""

import json

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._cli import main
from loco_stream._cli._parameters import build_model, parameters, parse_settings
from loco_stream._options import DEFAULTS
from loco_stream._persistence import format as persist
from loco_stream._text import did_you_mean, listed
from loco_stream.errors import ConfigError


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def url(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    return f"csv:{path}?target=y"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("machine", ("machine",)),
        ("machine, error", ("machine", "error")),
        ("0", ("0",)),  # the names of columns without one are their numbers, as texts
        ("0,17", ("0", "17")),
        ("0, 007", ("0", "007")),
        ("('a,b', 'c')", ("a,b", "c")),
    ],
)
def test_names_of_features_are_texts(text, names):
    settings = parse_settings([f"categorical_features={text}"])
    assert build_model("classification", 0, settings).advanced.categorical_features == names


@pytest.mark.parametrize("command", ["run", "serve", "fleet"])
def test_set_help_lists_every_parameter_with_its_default(command):
    shown = run(command, "river:Phishing", "--set", "help")
    assert shown.exit_code == 0
    for name in parameters():
        assert f"\n{name}=" in "\n" + shown.stdout
    assert "rule=loco\n    ``" in shown.stdout
    assert f"categories={DEFAULTS.categories}" in shown.stdout
    assert "seed=" not in shown.stdout


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        (["run", "river:Phishing", "--set"], "rea", ["readout=", "readout_layers="]),
        (["serve", "river:Phishing", "--set"], "categ", ["categories=", "categorical_features="]),
        (["run", "--set"], "nothing", []),
        (["run", "--preset"], "", ["fast", "default", "accurate"]),
        (["fleet", "river:Phishing", "--set"], "categ", ["categories=", "categorical_features="]),
        (["fleet", "river:Phishing", "--drift-detector"], "HDD", ["HDDMA", "HDDMW"]),
    ],
)
def test_the_shell_completes_parameters_presets_and_detectors(words, begun, expected):
    shell = ShellComplete(main, {}, "loco-stream", "_LOCO_STREAM_COMPLETE")
    assert [item.value for item in shell.get_completions(words, begun)] == expected


def test_an_unknown_parameter_is_refused_with_the_nearest_names(url):
    refused = run("run", url, "--quiet", "--set", "hiden_sizes=8")
    assert refused.exit_code == 2
    sentence = refused.stderr.strip().splitlines()[-1]
    assert (
        "no parameter 'hiden_sizes'; did you mean 'hidden_sizes'? (--set help lists all)"
        in sentence
    )
    assert len(sentence) < 160


def test_hints_name_three_at_most():
    similar = ["tau", "tau_trace", "tau_trade", "tau_track"]
    assert did_you_mean("tau_trase", similar).count("'tau") == 3
    assert did_you_mean("lr", ["tau", "learning_rate"]) == "; did you mean 'learning_rate'?"
    assert did_you_mean("a", ["a1"]) == "; did you mean 'a1'?"
    assert did_you_mean("zzz", ["a"]) == ""
    assert listed([f"c{i}" for i in range(46)]).endswith("c11 and 34 more")


def test_a_preset_of_the_command_is_kept_with_the_checkpoint(url, tmp_path):
    begin = ["run", url, "--quiet", "--checkpoint", tmp_path / "state", "--set", "categories=8"]
    assert run(*begin, "--preset", "fast", "--max-samples", 10).exit_code == 0
    saved = persist.read(max((tmp_path / "state").glob("checkpoint-*.loco")))
    assert saved.config["settings"]["preset"] == "fast"
    assert (
        saved.config["model"]["parameters"] | {"hidden_sizes": (64,), "categories": 8}
        == (saved.config["model"]["parameters"])
    )
    assert run(*begin[:3], *begin[3:5], "--resume").exit_code == 0
    other = run(*begin[:5], "--resume", "--preset", "accurate")
    assert other.exit_code == 2
    assert "was begun with --preset fast, so" in other.stderr


def test_settings_override_a_preset():
    assert build_model("classification", 0, {}, "accurate").hidden_sizes == (256,)
    assert build_model("regression", 0, {"hidden_sizes": [4, 8]}, "fast").hidden_sizes == [4, 8]


@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
def test_both_estimators_have_presets(kind):
    model = kind.preset("fast", seed=3)
    assert type(model) is kind
    assert (model.hidden_sizes, model.seed) == ((64,), 3)
    with pytest.raises(
        ConfigError,
        match="`name` must be one of the presets 'fast', 'default', 'accurate', got 'slow'",
    ):
        kind.preset("slow")


def test_a_run_with_a_preset_reports(url, tmp_path):
    assert (
        run("run", url, "--quiet", "--preset", "fast", "--report", tmp_path / "r.json").exit_code
        == 0
    )
    assert json.loads((tmp_path / "r.json").read_text())["n_samples"] == 40

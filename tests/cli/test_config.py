"""Options from TOML files and the environment, `config check` and `--print-config`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from loco_stream._cli._config import _VARIABLES, COMMANDS, command_named, read_config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
SERVE = ["serve", "--http", "8080", "--checkpoint", "state"]


def loco(*arguments, **env):
    return CliRunner().invoke(main, arguments, env=env)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "service.toml"
        path.write_text(text)
        return str(path)

    return write


def test_print_config_writes_the_file_of_a_command_line(file):
    options = [*SERVE, "--seed", "3", "--set", "rule=np", "--sink", "jsonl:a.jsonl", "--dashboard"]
    shown = loco(*options, "--print-config")
    assert shown.exit_code == 0, shown.output
    assert tomllib.loads(shown.stdout) == {
        "checkpoint": "state",
        "http": "8080",
        "sink": ["jsonl:a.jsonl"],
        "dashboard": True,
        "seed": 3,
        "set": {"rule": "np"},
    }
    path = file(shown.stdout)
    again = loco("serve", "--config", path, "--print-config")
    assert again.stdout == shown.stdout
    assert loco("config", "check", path).stdout == f"{path} is valid for `loco-stream serve`\n"


def test_the_command_line_precedes_the_environment_and_that_the_file(file):
    path = file('checkpoint = "state"\nhttp = 8080\nseed = 1\n')

    def seed(*more, **env):
        shown = loco("serve", "--config", path, *more, "--print-config", **env)
        return tomllib.loads(shown.stdout)["seed"]

    assert seed() == 1
    assert seed(LOCO_STREAM_SEED="2") == 2
    assert seed("--seed", "3", LOCO_STREAM_SEED="2") == 3


@pytest.mark.parametrize(
    ("text", "sinks"),
    [
        ("jsonl:a.jsonl  jsonl:b.jsonl", ["jsonl:a.jsonl", "jsonl:b.jsonl"]),
        ("'jsonl:a b.jsonl' jsonl:C:\\c.jsonl", ["jsonl:a b.jsonl", "jsonl:C:\\c.jsonl"]),
        ('"exec:echo it\'s"', ["exec:echo it's"]),
    ],
)
def test_values_of_a_list_in_the_environment_may_be_quoted(text, sinks):
    shown = loco(*SERVE, "--print-config", LOCO_STREAM_SINK=text)
    assert tomllib.loads(shown.stdout)["sink"] == sinks


def test_an_open_quote_in_the_environment_is_refused():
    shown = loco(*SERVE, "--print-config", LOCO_STREAM_SINK="'jsonl:a b.jsonl")
    assert shown.exit_code == 2
    assert "`LOCO_STREAM_SINK` must have a second quote" in shown.stderr


def test_the_environment_alone_configures_a_service():
    env = {"LOCO_STREAM_HTTP": "8080", "LOCO_STREAM_CHECKPOINT": "s", "LOCO_STREAM_SINK": "jsonl:a"}
    shown = loco("serve", "--print-config", **env)
    assert tomllib.loads(shown.stdout) == {"checkpoint": "s", "http": "8080", "sink": ["jsonl:a"]}


def test_a_table_is_for_its_command_alone(file):
    path = file('seed = 1\n[run]\nsource = "river:Phishing"\nmax-samples = 50\n[serve]\nhttp = 1\n')
    shown = loco("run", "--config", path, "--print-config")
    assert tomllib.loads(shown.stdout) == {
        "source": "river:Phishing",
        "max-samples": 50,
        "seed": 1,
    }


def test_a_run_from_a_file(file, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("a,y\n" + "\n".join(f"{i % 2},{'ab'[i % 2]}" for i in range(30)) + "\n")
    path = file(f'source = "csv:{rows}?target=y"\njson = true\n[set]\nhidden_sizes = [4]\n')
    done = loco("run", "--config", path, "--quiet")
    assert done.exit_code == 0, done.output
    assert '"n_samples": 30' in done.stdout


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("chekpoint = 's'", "`serve` has no option 'chekpoint'; did you mean 'checkpoint'"),
        ("checkpoint = ['a']", "`checkpoint` must be one value, got a list"),
        ("seed = true", "`seed` must be a value other than true and false, got True"),
        ("dashboard = 1", "`dashboard` must be true or false, got 1"),
        ("seed = -1", "service.toml: `--seed` must be 0 to 18446744073709551615, got -1"),
        ("source = 'redis://h/rows?idle=x'", "redis: `idle` must be a duration"),
        ("source = 'rediss'", "there is no source"),
        ("seed = 1.5", "`seed` must be a whole number, got 1.5"),
        ("durability = 'sometimes'", "`durability` must be batch, "),
        ("[server]\nseed = 1", "service.toml: there is no table [server]; did you mean 'serve'"),
        ("[serve.foo]\na = 1", "service.toml: there is no table [serve.foo] (tables: [serve.set]"),
        ("[foo]\na = 1", "service.toml: there is no table [foo] (tables: [run], [serve], [watch]"),
        ("[Run]\nseed = 1", "service.toml: there is no table [Run]; did you mean 'run'"),
        ("Seed = 1", "`serve` has no option 'Seed'; did you mean 'seed'"),
        ("[set]\nretention = 7", "`retention` must be "),
        ("[limit]\nfeaturs = 3", "there is no limit 'featurs'; did you mean 'features'"),
        ("[threshold]\nok = 7", "`--threshold` must be LABEL=P with P above 0 and up to 1"),
        ("[cost]\nok = 3", "`--cost` must be TRUE,PREDICTED=COST, got 'ok=3'"),
        ("sink = 5", "there is no sink '5"),
        ("sink = ''", "a sink must be named as SCHEME:ADDRESS"),
        ("source = ''", "a source must be named as SCHEME:ADDRESS"),
        ("seed = 2026-01-02", "`seed` must be a number, true, false or a text without null"),
        ('checkpoint = "a\\u0000b"', "`checkpoint` must be a number, true, false or a text w"),
        ("log-level = 'info'\nlog_level = 'error'", "`log-level` must be given once, got 'log_lev"),
        ("sink = 'htp://x'", "`sink` of `serve`: there is no sink 'htp:'"),
        ("source = 'csv:a?traget=y'", "`source` of `serve`: csv: has no option 'traget'"),
        ("serve = 1", "`serve` must be a table, got 1"),
        ("seed = ", "must be TOML"),
        ("missing = true", "`missing` must be a value other than true and false, got True"),
        ("missing = ['n/a']", "service.toml: `--missing` must be a finite number, got 'n/a'"),
        ("[checkpoint]\na = 1", "`checkpoint` must be a value, got a table"),
        ("http = '0.0.0.0:8080'", "`token` must be given for the address 0.0.0.0, which other"),
        ("http = 8080\nbind = '0.0.0.0'", "`token` must be given for the address 0.0.0.0"),
        ("metrics-port = 9\nbind = '0.0.0.0'", "`token` must be given for the address 0.0.0.0"),
        ("dashboard = true\nbind = '0.0.0.0'", "`token` must be given for the address 0.0.0.0"),
        ("http = 80800", "`--http` must be PORT or ADDRESS:PORT with a port from 1 to 65535"),
        ("http = '8080?traget=y'", "http: has no option 'traget'; did you mean 'target'?"),
        (
            "http = 9100\nmetrics-port = 9100",
            "`metrics-port` must be another port than `http`, got 9100",
        ),
        ("http = 8765\ndashboard = true", "`dashboard-port` must be another port than `http`"),
        (
            "http = '0.0.0.0:9100'\nmetrics-port = 9100\ntoken = 'token'",
            "`metrics-port` must be another port than `http`, got 9100",
        ),
        (
            "http = 'localhost:9100'\nmetrics-port = 9100",
            "`metrics-port` must be another port than `http`, got 9100",
        ),
        (
            "metrics-port = 9100\ncontrol = 'tcp://127.0.0.1:9100'",
            "`control` must be another port than `metrics-port`, got 9100",
        ),
        (
            "control = '/run/loco'",
            "`control` must be tcp://127.0.0.1:PORT or ipc://PATH, got",
        ),
        ("control = 'tcp://0.0.0.0:99'", "`control` must be tcp://127.0.0.1:PORT or ipc://PATH"),
        (f"control = 'ipc:///{'a' * 200}'", "`control` must have a path of at most 107 bytes, got"),
        ("sink = 'jsonl:a?only=alarm'", "`only` must name kinds of records"),
        ("sink = 'exec:nowhere -t x'", "`sink` of `serve`: exec: there is no program 'nowhere'"),
        ("on-drift = 'nowhere -t x'", "exec: there is no program 'nowhere'"),
        ("watch = true\non-alarm = 'echo \"x'", "exec: cannot split 'echo \"x' into words"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(file, text, sentence):
    path = file(text)
    checked = loco("config", "check", path, "--command", "serve")
    assert checked.exit_code == 2, checked.output
    assert sentence in checked.stderr
    assert path in checked.stderr
    assert len(checked.stderr.splitlines()) == 1


def test_an_address_may_have_its_token_from_file_or_environment(file, tmp_path):
    token = tmp_path / "token"
    for text, env in (
        (f"token = '{token}'", {}),
        ("", {"LOCO_STREAM_TOKEN": str(token)}),
        ("bind = '127.0.0.1'", {"LOCO_STREAM_TOKEN": str(token)}),
    ):
        checked = loco("config", "check", file(f"http = '0.0.0.0:8080'\n{text}"), **env)
        assert checked.exit_code == 0, checked.output
    assert not token.exists()  # the check opens and creates nothing


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("source = 'mqtt://h/rows?username=me'", "MQTT_PASSWORD_FILE"),
        ("sink = 'influx://h/db'", "INFLUX_PASSWORD_FILE"),
        ("sink = 'https://h/hook'", "HTTP_SECRET_FILE"),
        ("sink = 'http://h/hook?secret_file=PATH'", "secret_file"),
    ],
)
def test_the_file_of_a_password_must_be_readable_by_its_owner_alone(
    file, tmp_path, text, variable, monkeypatch
):
    secret = tmp_path / "secret"
    name = f"LOCO_STREAM_{variable}" if variable.isupper() else variable
    monkeypatch.setenv(name, str(secret))
    path = file(text.replace("PATH", str(secret)))
    missing = loco("config", "check", path, "--command", "serve")
    assert f"cannot read {name} {secret}: No such file" in missing.stderr
    secret.write_text("sesame")
    secret.chmod(0o644)
    shown = loco("config", "check", path, "--command", "serve")
    assert f"{name} {secret} can be read by others: chmod 600 {secret}" in shown.stderr
    secret.chmod(0o600)
    assert loco("config", "check", path, "--command", "serve").exit_code == 0


def test_a_file_with_a_byte_order_mark_is_read(file):
    path = file("\ufeffcheckpoint = 'state'\nhttp = 8080\n")
    assert loco("config", "check", path).stdout == f"{path} is valid for `loco-stream serve`\n"


def test_a_file_of_another_encoding_is_refused(file):
    path = file("")
    Path(path).write_bytes("checkpoint = 'Prüfstand'".encode("latin-1"))
    assert f"{path} must be in UTF-8, which byte 16 is not" in loco("config", "check", path).stderr


def test_a_missing_file_is_refused():
    assert "cannot read none.toml: No such file" in loco("config", "check", "none.toml").stderr
    assert "cannot read none.toml" in loco("serve", "--config", "none.toml").stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_an_environment_variable(name):
    hidden = {"print_config"}
    for parameter in command_named(name).params:
        if parameter.expose_value and parameter.name not in hidden:
            assert str(parameter.envvar).startswith("LOCO_STREAM_"), parameter.name


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("CHEKPOINT", "; did you mean 'CHECKPOINT'"),
        ("MQTT_PASWORD", "; did you mean 'MQTT_PASSWORD'"),
        ("ZZ", "\n"),
        ("CONFIGURATION", "; did you mean 'CONFIG'"),
    ],
)
def test_an_environment_variable_that_nothing_reads_is_named(name, near):
    expected = f"LOCO_STREAM_{name} is ignored: there is no option '{name}'{near}"
    unread = {f"LOCO_STREAM_{name}": "a", "LOCO_STREAM_STATE_BYTES": "1000000"}
    for command in (["run", "csv:none.csv?target=y"], ["serve"]):  # serve lacks a folder
        shown = loco(*command, **unread)
        assert shown.exit_code == 2
        assert shown.stderr.count(expected) == 1, shown.stderr
    of_kubernetes = ("SERVICE_HOST", "PORT_80_TCP", "WEB_SERVICE_HOST", "WEB_PORT")
    read = {"LOCO_STREAM_CHECKPOINT_EVERY": "9"}
    read |= {f"LOCO_STREAM_{name}": "tcp://10.0.0.1:80" for name in of_kubernetes}
    assert "is ignored" not in loco("run", "csv:none.csv", **read).stderr


def test_every_variable_that_the_package_reads_is_known():
    read = set()
    for folder in ("loco_stream", "connectors", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            read |= {*re.findall(r"\bLOCO_STREAM_([A-Z0-9_]+)\b", path.read_text())}
    options = {parameter.envvar for name in COMMANDS for parameter in command_named(name).params}
    known = {str(name).removeprefix("LOCO_STREAM_") for name in options} | {*_VARIABLES}
    assert read <= known
    assert {name for name in _VARIABLES if not name.endswith("_FILE")} <= read


def test_serve_needs_a_source_or_http():
    refused = loco("serve", "--checkpoint", "state")
    assert refused.exit_code == 2
    assert "or --http PORT for rows" in refused.stderr


def test_serve_needs_a_folder_that_it_can_write_to(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    refused = loco("serve", "--http", "18080", "--checkpoint", str(tmp_path / "file" / "state"))
    assert refused.exit_code == 2
    assert f"file/state: {tmp_path}/file is a file" in refused.stderr
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused = loco("serve", "--http", "18080", "--checkpoint", str(tmp_path / "a" / "state"))
    assert f"a/state: this user may not write to {tmp_path}" in refused.stderr
    assert not (tmp_path / "a").exists()


def test_an_address_that_others_reach_needs_a_token(tmp_path):
    for port in (["--http", "18080"], ["--metrics-port", "18081"]):
        source = ["--source", "csv:none.csv?target=y"]
        options = ["serve", *source, *port, "--checkpoint", str(tmp_path), "--bind", "0.0.0.0"]
        refused = loco(*options)
        assert refused.exit_code == 2
        assert "pass --token FILE" in refused.stderr


# The files that are published


@pytest.mark.parametrize("name", ["service.toml", "compose.toml"])
def test_the_published_configuration_is_valid(name):
    config = read_config(str(DEPLOY / name))
    assert config
    checked = loco("config", "check", str(DEPLOY / name), "--command", "serve")
    assert checked.exit_code == 0, checked.output


def test_the_published_container_sets_options_that_exist():
    known = {parameter.envvar for parameter in command_named("serve").params}
    lines = (DEPLOY / "Containerfile").read_text().split()
    used = {word.partition("=")[0] for word in lines if word.startswith("LOCO_STREAM_")}
    assert used - known == {"LOCO_STREAM_CACHE_DIR"}


def test_a_file_may_hold_a_table_of_watch_and_the_option_of_that_name(file):
    path = file('[watch]\nsource = "csv:rows.csv"\nevery = 500\n')
    assert loco("config", "check", path).stdout == f"{path} is valid for `loco-stream watch`\n"
    shown = loco("watch", "--config", path, "--print-config")
    assert tomllib.loads(shown.stdout) == {"source": "csv:rows.csv", "every": 500}
    path = file('http = 8080\ncheckpoint = "state"\nwatch = true\nevery = 500\n')
    assert loco("config", "check", path).stdout == f"{path} is valid for `loco-stream serve`\n"
    wrong = file('[watch]\nsource = "csv:rows.csv"\nevry = 500\n')
    assert (
        "`watch` has no option 'evry'; did you mean 'every'?"
        in loco("config", "check", wrong).stderr
    )

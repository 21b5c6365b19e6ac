from __future__ import annotations

import errno
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import requires
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Network
from loco_stream._cli import main
from loco_stream._cli._catalog import extras
from loco_stream._cli._parameters import build_model, parse_settings
from loco_stream._cli.doctor import _kept_code
from loco_stream._cli.serve import command as serve
from loco_stream.connectors import open_source
from loco_stream.connectors._registry import SINKS, SOURCES, connectors
from loco_stream.engine import StreamEngine
from loco_stream.engine._progress import Countdown, line
from loco_stream.errors import ConfigError
from tests.helpers.serving import wait_until

COMMANDS = (
    "run",
    "serve",
    "fleet",
    "control",
    "inspect",
    "keygen",
    "demo",
    "doctor",
    "nir",
)
QUICK = ["--set", "hidden_sizes=16"]


@pytest.fixture
def loco(tmp_path, monkeypatch):
    """Return a function that runs the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*words):
        return runner.invoke(main, [str(word) for word in words])

    return run


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    lines = [
        f"{i % 7},{(i * 3) % 5},{'red' if i % 2 else 'blue'},{'ab'[i % 7 > 3]}" for i in range(120)
    ]
    path.write_text("\n".join(["u,v,colour,kind", *lines]) + "\n")
    return path


def refused(result):
    """Check for exit code 2 and return the one sentence of the error."""
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    sentence = result.stderr.strip().splitlines()[-1]
    assert len(sentence) > 20
    return sentence


def test_help_teaches_by_example(loco):
    top = loco("--help").output
    for name in COMMANDS:
        assert f"  {name} " in top
        text = loco(name, "--help").output
        assert f"loco-stream {name}" in text
        assert "Example" in text


def test_the_help_of_a_service_has_a_heading_per_group_of_options(loco):
    listed = loco("serve", "--help").output.split("\nOptions:\n")[1]
    of_model = listed.split("\nModel:\n")[1].split("\n\n")[0]
    assert "--preset" in of_model
    assert "--metrics-port" not in of_model
    for option in serve.params:
        if option.hidden:
            continue
        assert len(re.findall(rf"^  {option.opts[0]}[ ,]", listed, re.MULTILINE)) == 1, option.name


@pytest.mark.parametrize(
    "words",
    [
        ("run", "river:Bikes", "--forecast", "day"),
        ("watch", "csv:rows.csv", "--every", "day"),
        ("nir", "net.nir", "--steps", "day"),
    ],
)
def test_a_text_in_place_of_an_integer_is_named(loco, words):
    assert refused(loco(*words)) == f"loco-stream: `{words[2]}` must be an integer, got 'day'"


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("watch", "csv:rows.csv", "--every", "3"), "at least 10, got 3"),
        (("run", "csv:rows.csv", "--forecast", "600"), "1 to 512, got 600"),
        (("run", "csv:rows.csv", "--at-precision", "0"), "above 0 and up to 1, got 0"),
    ],
)
def test_a_number_out_of_its_bounds_is_refused_in_words(loco, words, allowed):
    assert refused(loco(*words)) == f"loco-stream: `{words[2]}` must be {allowed}"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from loco_stream._cli import main; "
        "main(['serve', '--help'], standalone_mode=False); "
        "print(sorted({'numba', 'river', 'zmq', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip().endswith("[]")


def test_the_process_ends_without_a_garbage_collection():
    program = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "from loco_stream._cli import main\n"
        "main(['inspect', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("True\n")


def test_run_reports_in_a_table_in_json_and_in_a_picture(loco, rows, tmp_path):
    result = loco(
        "run",
        f"csv:{rows}?target=kind",
        "--report",
        "r.json",
        "--plot",
        "r.png",
        "--sink",
        "jsonl:p.jsonl?only=prediction",
        *QUICK,
    )
    assert result.exit_code == 0, result.output
    assert "120 samples" in result.stdout
    assert "samples per second of work" in result.stdout
    assert "accuracy of repeating the" in result.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["n_samples"] == 120
    assert report["task"] == "classification"
    assert report["seed"] == 0
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    shown = loco("run", f"csv:{rows}?target=kind", "--json", *QUICK).stdout
    assert json.loads(shown)["accuracy"] == report["accuracy"]
    predictions = [json.loads(text) for text in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [p["seq"] for p in predictions] == list(range(120))
    hits = [p["label"] == p["prediction"] for p in predictions if p["prediction"] is not None]
    assert report["accuracy"] == sum(hits) / len(hits)
    assert all(abs(sum(p["proba"].values()) - 1) < 1e-6 for p in predictions[1:])


def test_a_sink_that_cannot_be_opened_is_refused_before_the_first_row(loco, rows):
    result = loco("run", f"csv:{rows}?target=kind", "--sink", "jsonl:/proc/p.jsonl", *QUICK)
    assert refused(result) == "loco-stream: cannot write /proc/p.jsonl: No such file or directory"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "command",
    [
        ("run", "csv:rows.csv?target=kind", *QUICK),
        ("watch", "csv:rows.csv?use=u,v", "--sink", "jsonl:reports.jsonl"),
        ("fleet", "csv:rows.csv?target=kind", "--key", "colour", "--checkpoint", "f", *QUICK),
    ],
    ids=lambda command: command[0],
)
def test_a_command_whose_sinks_lost_records_ends_with_code_1(loco, rows, tmp_path, command):
    lost = "jsonl:/dev/full?wait=0.2&linger=0.2"
    result = loco(*command, "--sink", lost, "--report", "r.json")
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert result.stderr.count("No space left on device; trying again") == 1
    report = json.loads((tmp_path / "r.json").read_text())
    n_lost = report["n_lost_records"]
    assert n_lost > 0
    assert report["lost_records"] == {"jsonl:/dev/full": n_lost}
    assert last.endswith(f"lost by sinks: jsonl:/dev/full ({n_lost:,})")
    assert any("/dev/full" in note for note in report["notes"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_report_that_cannot_be_written_does_not_hide_lost_records(loco, rows):
    lost = ("--sink", "jsonl:/dev/full?wait=0.2&linger=0.2", "--report", "/dev/full")
    result = loco("run", f"csv:{rows}?target=kind", *lost, *QUICK)
    assert "cannot write the report /dev/full" in refused(result)
    assert "records were lost by sinks: jsonl:/dev/full (" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(("queue", "code"), [(10, 1), (10_000, 0)])
def test_a_stopped_service_whose_sinks_lost_records_ends_with_code_1(
    loco, rows, monkeypatch, queue, code
):
    monkeypatch.setattr(StreamEngine, "_wait_for_stop", lambda engine: None)
    sink = f"jsonl:/dev/full?wait=0&linger=0.2&queue={queue}&only=prediction"
    source = ("--source", f"csv:{rows}?target=kind", "--checkpoint", "state")
    result = loco("serve", *source, "--sink", sink, *QUICK)
    assert result.exit_code == code, result.output
    is_lost = "lost by sinks: jsonl:/dev/full (" in result.stderr.strip().splitlines()[-1]
    assert is_lost == bool(code)  # a checkpoint keeps what waits


def test_the_seeds_of_the_command_are_those_of_the_estimators(loco, rows):
    shown = loco("run", f"csv:{rows}?target=kind", "--seed", 2**64 - 1, "--json", *QUICK)
    assert json.loads(shown.stdout)["seed"] == 2**64 - 1
    for command in ("run", "watch"):
        refused(loco(command, f"csv:{rows}?target=kind", "--seed", 2**64))


def test_fractional_labels_mean_regression_and_task_overrides(loco, tmp_path):
    (tmp_path / "r.csv").write_text("u,y\n" + "".join(f"{i},{i / 4}\n" for i in range(40)))
    loco("run", "csv:r.csv?target=y", "--report", "r.json", *QUICK)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["task"] == "regression"
    assert {"mae", "rmse", "r2", "no_change_mae"} <= report.keys()
    loco("run", "csv:r.csv?target=y", "--task", "classification", "--report", "c.json", *QUICK)
    assert json.loads((tmp_path / "c.json").read_text())["task"] == "classification"


def test_the_same_seed_gives_the_same_predictions(loco, rows, tmp_path):
    for name in ("1", "2"):
        loco(
            "run",
            f"csv:{rows}?target=kind",
            "--seed",
            7,
            "--delay",
            5,
            "--sink",
            f"jsonl:{name}?only=prediction",
            *QUICK,
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_stop_resume_and_inspect(loco, rows, tmp_path):
    url = f"csv:{rows}?target=kind"
    loco("run", url, "--checkpoint", "whole", "--seed", 4, *QUICK)
    first = loco("run", url, "--checkpoint", "parts", "--seed", 4, "--max-samples", 50, *QUICK)
    assert first.exit_code == 0, first.output
    assert json.loads(loco("inspect", "parts", "--json").output)["n_samples"] == 50
    second = loco("run", url, "--checkpoint", "parts", "--resume", "--report", "r.json")
    assert second.exit_code == 0, second.output
    whole, parts = (
        json.loads(loco("inspect", name, "--json").output) for name in ("whole", "parts")
    )
    assert parts["state_sha256"] == whole["state_sha256"]
    assert parts["n_samples"] == whole["n_samples"] == 120
    assert parts["settings"]["seed"] == 4
    assert parts["sources"] == {"csv:rows.csv": {"row": 120}}
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["n_samples"], report["seed"]) == (120, 4)
    assert "state_sha256" in loco("inspect", "parts").output
    assert "--seed 4, so" in refused(
        loco("run", url, "--checkpoint", "parts", "--resume", "--seed", 5, *QUICK)
    )
    again = refused(loco("run", url, "--checkpoint", "parts", *QUICK))
    wanted = "parts holds an earlier run: pass --resume to continue it, or another folder"
    assert wanted in again
    assert "None" not in again


def test_inspect_reads_a_saved_model_and_load_reads_a_checkpoint(loco, rows, tmp_path):
    from loco_stream import load, save

    loco(
        "run",
        f"csv:{rows}?target=kind",
        "--checkpoint",
        "state",
        *QUICK,
    )
    checkpoint = json.loads(loco("inspect", "state", "--json").output)
    model = load(checkpoint["file"])
    assert model.n_seen > 0
    save(model, tmp_path / "m.loco")
    found = json.loads(loco("inspect", "m.loco", "--json").output)
    assert found["n_samples"] == model.n_seen
    assert found["state_sha256"] == checkpoint["state_sha256"]
    assert found["kind"] == found["model"] == "LOCOClassifier"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["run", "rivr:Phishing"], "rivr"),
        (["run", "river:Nothing"], "Nothing"),
        (["run", "csv:nowhere.csv?target=y"], "nowhere.csv"),
        (["run", "csv:rows.csv?target=nothing"], "nothing"),
        (["run", "csv:empty.csv?target=y"], "empty"),
        (["run", "csv:wide.csv?target=y"], "fields"),
        (["run", "csv:rows.csv?target=kind", "--set", "rule=backprop"], "rule"),
        (["run", "csv:rows.csv?target=kind", "--set", "nonsense=1"], "nonsense"),
        (["run", "csv:rows.csv?target=kind", "--set", "nonsense"], "NAME=VALUE"),
        (["run", "csv:rows.csv?target=kind", "--set", "learning_rate=-1"], "learning_rate"),
        (["run", "csv:rows.csv?target=kind", "--seed", "-1"], "--seed"),
        (["run", "csv:rows.csv?target=kind", "--max-samples", "0"], "--max-samples"),
        (["run", "csv:rows.csv?target=kind", "--report", "no/r.json"], "--report"),
        (["run", "csv:rows.csv?target=kind", "--plot", "r.xyz"], "r.xyz"),
        (["run", "csv:rows.csv?target=kind", "--resume"], "--checkpoint"),
        (["run", "csv:rows.csv?target=kind", "--checkpoint", "rows.csv"], "rows.csv is a file"),
        (
            ["run", "csv:rows.csv?target=kind", "--checkpoint", "empty", "--resume"],
            "nothing to resume",
        ),
        (["run", "csv:rows.csv?target=kind", "--checkpoint", "damaged", "--resume"], "damaged"),
        (["inspect", "nowhere"], "nowhere"),
        (["inspect", "rows.csv"], "rows.csv"),
        (
            [
                "serve",
                "--source",
                "csv:rows.csv?target=kind",
                "--checkpoint",
                "s",
                "--durability",
                "some",
            ],
            "durability",
        ),
        (
            ["serve", "--http", "8080", "--keys", "none", "--checkpoint", "s"],
            "`--keys` needs --source with a zmq+ URL",
        ),
        (["fleet", "wrost", "s"], "there is no command 'wrost'; did you mean 'worst'"),
        (["fleet", "rows.csv", "--key", "u", "--checkpoint", "s"], "did you mean 'csv:rows.csv'?"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(loco, rows, tmp_path, words, named):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "wide.csv").write_text("u,y\n1,a\n1,a,b\n")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "checkpoint-000000000001.loco").write_bytes(b"LOCOFILE" + bytes(100))
    kept = tmp_path / "kept.json"
    kept.write_text("kept")
    if words[0] == "run" and "--report" not in words:
        words = [*words, "--report", "kept.json"]
    assert named in refused(loco(*words))
    assert kept.read_text() == "kept"


def test_keygen_overwrites_nothing(loco, tmp_path):
    assert loco("keygen", "keys").exit_code == 0
    secret = (tmp_path / "keys" / "engine.key_secret").read_bytes()
    assert (tmp_path / "keys" / "engine.key_secret").stat().st_mode & 0o077 == 0
    refused(loco("keygen", "keys"))
    assert (tmp_path / "keys" / "engine.key_secret").read_bytes() == secret


def test_doctor_lists_every_extra(loco):
    result = loco("doctor")
    assert result.exit_code == 0, result.output
    for name in ("libzmq", "compile cache", "threads", "first step"):
        assert name in result.output
    lines = [line for line in requires("loco-stream") if "extra ==" not in line]
    required = [re.match(r"[\w-]+", line)[0] for line in lines]
    assert len(required) > 8
    for name in required:
        assert re.search(rf"^{name} +\d", result.output, re.M), name
    for distributions in extras().values():
        assert all(f"\n{name} " in result.output for name in distributions)


@pytest.mark.parametrize(("package", "module"), [("msgspec", "msgspec"), ("pyzmq", "zmq")])
def test_doctor_names_a_required_package_that_cannot_be_imported(tmp_path, package, module):
    (tmp_path / f"{module}.py").write_text("raise ImportError('libfoo.so: no such file')")
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "loco_stream", "doctor"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    broken = rf"^{package} +[\d.]+, BROKEN: ImportError\('libfoo.so: no such file'\)$"
    assert re.search(broken, done.stdout, re.M), done.stdout


def test_doctor_names_a_folder_of_compiled_code_that_cannot_be_written_to(tmp_path):
    file = tmp_path / "file"
    file.touch()
    kept = _kept_code(str(file / "code" / "loco_stream._learner"))
    assert kept == f"nothing yet in {file / 'code'}, which cannot be written to: Not a directory"
    assert _kept_code(str(tmp_path / "new" / "_learner")) == f"nothing yet in {tmp_path / 'new'}"
    assert "compiles anew" in _kept_code(None)


def test_doctor_names_a_folder_of_compiled_code_that_is_read_only(tmp_path, monkeypatch):
    def refuse(dir):  # noqa: A002 - the name of the argument
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    monkeypatch.setattr("loco_stream._cli.doctor.TemporaryFile", refuse)
    kept = _kept_code(str(tmp_path / "_learner"))
    assert kept == f"nothing yet in {tmp_path}, which cannot be written to: Read-only file system"


@pytest.mark.parametrize("module", ["click", "numpy", "river"])
def test_a_package_that_cannot_be_imported_ends_a_command_in_one_sentence(tmp_path, rows, module):
    (tmp_path / f"{module}.py").write_text("raise ImportError('libfoo.so: no such file')")
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "loco_stream", "run", f"csv:{rows}?target=kind", "--quiet"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot be imported: ImportError: libfoo.so: no such file; " in line


def test_settings_are_parsed_as_python_literals():
    assert parse_settings(["a=1", "b=x", "c=1,2", "learning-rate=.5", "d=None", "e=a=b"]) == {
        "a": 1,
        "b": "x",
        "c": (1, 2),
        "learning_rate": 0.5,
        "d": None,
        "e": "a=b",
    }
    assert build_model("regression", 3, {"hidden_sizes": 8}).hidden_sizes == 8
    with pytest.raises(ConfigError, match="seed"):
        build_model("regression", 3, {"seed": 8})


def test_the_progress_line_shows_rows_scores_and_drifts():
    status = {
        "n_samples": 10,
        "samples_per_second": float("nan"),
        "window_mae": 0.25,
        "n_pending": 3,
    }
    text = line(status, time.monotonic())
    assert text == "00:00  10 samples  window error 0.25  no drift  3 waiting for labels"
    working = line({**status, "samples_per_second": 5000.0}, time.monotonic())
    assert working.startswith("00:00  10 samples  200 us per row  window error")
    assert line({}, time.monotonic()) == "00:00  waiting for the first row"
    assert line(status, time.monotonic() - 3700, 3700.0).startswith("1:01:40  10 samples")
    assert line(status, time.monotonic(), 65.0).endswith("  01:05 left")


class Rows:
    def __init__(self, n_rows):
        self.position = {"row": 50}
        self.n_rows = n_rows

    @property
    def progress(self):
        return self.n_rows and self.position["row"] / self.n_rows


@pytest.mark.parametrize(
    ("n_rows", "most", "expected"),
    [
        (450, None, 60.0),
        (450, 160, 2.0),
        (None, 160, 2.0),
        (450, 90_000, 60.0),
        (None, None, None),
        (80, None, 0.0),
    ],
)
def test_the_time_left_follows_from_the_rows_left(n_rows, most, expected):
    source = Rows(n_rows)
    countdown = Countdown(source, most)
    assert countdown.left(7.0) is None
    source.position = {"row": 150}
    assert countdown.left(27.0) == pytest.approx(expected)


def test_without_numbered_rows_the_time_left_is_unknown():
    source = SimpleNamespace(position={"topic": 3}, progress=None)
    assert [Countdown(source, most).left(now) for most in (None, 10) for now in (7.0, 27.0)] == [
        None
    ] * 4


def share_after(url, n):
    """Return the progress of a source before its first row and after n rows."""
    source = open_source(url)
    before = source.progress
    rows = iter(source)
    for _ in range(n):
        next(rows)
    return before, source.progress


@pytest.mark.parametrize("n", [10, 5_000])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_recordings_report_their_progress(tmp_path, n, packed):
    write = gzip.open if packed else open
    rng = np.random.default_rng(0)
    for kind, row in (("csv", "{},{}\n"), ("jsonl", '{{"u": "{}", "y": {}}}\n')):
        with write(f"{tmp_path}/rows.{kind}{packed}", "wt") as file:
            file.write("u,y\n" if kind == "csv" else "")
            file.writelines(row.format(rng.bytes(30).hex(), i % 2) for i in range(n))
        _, half = share_after(f"{kind}:{tmp_path}/rows.{kind}{packed}?target=y", n // 2)
        _, whole = share_after(f"{kind}:{tmp_path}/rows.{kind}{packed}?target=y", n)
        assert half == pytest.approx(0.5, abs=0.3)  # files are read in blocks
        assert whole == 1.0
    np.save(tmp_path / "x.npy", np.ones((128, 3)))
    assert share_after(f"npy:{tmp_path}/x.npy?target=0", 1) == (0.0, 0.5)
    assert share_after("river:Phishing", 125) == (0.0, 0.1)
    assert share_after("river:synth.SEA", 3) == (None, None)


def test_run_help_lists_every_kind_of_source_and_sink(loco):
    text = loco("run", "--help").output
    entries = [*connectors(SOURCES), *connectors(SINKS)]
    assert all(entry.example in text for entry in entries if not entry.is_variant)


def test_every_extra_for_users_is_listed():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = {
        name: {re.match(r"[\w-]+", text)[0] for text in texts}
        for name, texts in project["optional-dependencies"].items()
        if name not in {"test", "check", "docs", "bench"}
    }
    assert {name: set(distributions) for name, distributions in extras().items()} == declared


def test_the_shell_completes_commands(rows):
    words = {
        "_LOCO_STREAM_COMPLETE": "bash_complete",
        "COMP_WORDS": "loco-stream s",
        "COMP_CWORD": "1",
    }
    result = CliRunner().invoke(main, env=words, prog_name="loco-stream")
    assert result.output == "plain,serve\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_report_and_picture(tmp_path, number):
    files = {"--report": tmp_path / "r.json", "--plot": tmp_path / "p.svg"}
    options = [str(word) for pair in files.items() for word in pair]
    rows = tmp_path / "rows.jsonl"
    options += ["--sink", f"jsonl:{rows}?only=prediction"]
    command = [sys.executable, "-m", "loco_stream", "run", "river:synth.SEA?seed=1", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: rows.exists() and rows.stat().st_size > 0, seconds=120.0)
        process.send_signal(number)
        shown, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert re.search(r"samples?, stopped before the end", shown)
    report = json.loads(files["--report"].read_text())
    assert report["interrupted"]
    assert report["n_samples"] > 0
    assert "</svg>" in files["--plot"].read_text()


def test_a_run_that_ends_with_an_error_leaves_a_report(loco, tmp_path):
    lines = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(3000)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,z,kind", *lines, "1,2", *lines]) + "\n")
    shown = loco(
        "run",
        f"csv:{tmp_path}/rows.csv?target=kind",
        "--report",
        "r.json",
        "--plot",
        "p.svg",
    )
    assert shown.exit_code == 2
    assert "line 3002" in shown.stderr
    assert shown.stdout == ""
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["n_samples"], report["interrupted"]) == (3000, True)
    assert (tmp_path / "p.svg").exists()


def test_a_nir_file_is_printed_checked_and_run(loco, tmp_path):
    pytest.importorskip("nir")
    net = Network.from_weights([np.full((3, 2), 0.4)], reset="zero")
    net.to_nir(tmp_path / "net.nir", dt=1.0)
    small = ("--samples", "2", "--steps", "50", "--save", "run.npz")
    shown = loco("nir", str(tmp_path / "net.nir"), *small)
    assert shown.exit_code == 0
    assert "weights_0      Linear   weight (2, 3)" in shown.output
    assert (
        "read as        Network(3-2, neuron='lif', dtype=float32), time step 1 ms" in shown.output
    )
    with np.load(tmp_path / "run.npz") as run:
        assert run["inputs"].shape == (2, 50, 3)
        assert run["dt"] == 1.0
        assert f"spikes         {run['counts'].sum()} in 2 samples of 50 steps" in shown.output
    (tmp_path / "bad.nir").write_text("no net")
    assert "cannot read bad.nir as a NIR file" in refused(loco("nir", "bad.nir"))
    elsewhere = loco("nir", str(tmp_path / "net.nir"), "--save", "none/run.npz")
    assert "--save: cannot write none/run.npz" in refused(elsewhere)
    assert "spikes" not in elsewhere.output  # refused before the run
    assert loco("nir", str(tmp_path / "net.nir"), "--save", "run").exit_code == 0
    assert (tmp_path / "run").exists()
    full = loco("nir", str(tmp_path / "net.nir"), "--save", "/dev/full")
    assert "cannot write the run /dev/full: No space left" in refused(full)


@pytest.mark.parametrize(
    ("arguments", "owners"),
    [
        (["fleet", "--max-pending", "5"], "`loco-stream run` and `loco-stream serve`"),
        (["run", "rows.csv", "--key", "a"], "`loco-stream fleet`"),
        (["run", "rows.csv", "--port", "80"], "`loco-stream demo`"),
        (
            ["--checkpoint", "a", "run"],
            "`loco-stream run`, `loco-stream watch`, `loco-stream serve` and `loco-stream fleet`",
        ),
    ],
)
def test_an_option_of_another_command_names_that_command(arguments, owners):
    done = CliRunner().invoke(main, arguments, prog_name="loco-stream")
    assert done.exit_code == 2
    assert done.stderr.rstrip().endswith(f"; it is an option of {owners}")
    assert "did you mean" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--no-such run rows.csv", "`loco-stream` has no option --no-such"),
        ("--verison", "`loco-stream` has no option --verison; did you mean '--version'?"),
        ("run rows.csv --no-such", "`loco-stream run` has no option --no-such"),
        ("run a --sed 1", "`loco-stream run` has no option --sed; did you mean '--seed'"),
        ("serve", "`--checkpoint` must be given, as in `loco-stream serve --source zmq+"),
        ("fleet x:y", '`--key` must be given, as in `loco-stream fleet "csv:rows.csv?target=kind"'),
        ("watch", "`SOURCE` must be given, as in `loco-stream watch csv:sensors.csv`"),
        ("control a", "`COMMAND` must be given, as in `loco-stream control ipc:///tmp/loco"),
        ("fleet merge a k", "`--to` must be given, as in `loco-stream fleet merge fleet/ "),
        ("fleet evict a", "`KEY` must be given, as in `loco-stream fleet evict [OPTIONS] "),
        ("run a --seed", "option '--seed' requires an argument"),
        ("run a b", "got unexpected extra argument (b) (`loco-stream run --help` shows"),
    ],
)
def test_a_mistaken_command_line_is_answered_in_one_sentence(line, sentence):
    done = CliRunner().invoke(main, line.split(), prog_name="loco-stream")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"loco-stream: {sentence}"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_group_without_a_command_prints_its_help():
    done = CliRunner().invoke(main, ["config"], prog_name="loco-stream")
    assert "Commands:\n  check" in done.output

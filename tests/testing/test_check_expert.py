"""`check_expert` accepts correct experts and states what is wrong with others.

An expert is one file and one line: the toy expert is added to a copy of the package in this way,
since the arrays of a model are joined when the package is imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import loco_stream
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream.testing import check_expert

TOY = Path(__file__).parents[1] / "helpers" / "toy_expert.py"
TABLE = Path("loco_stream", "_learner", "readout", "experts")
PARAMETERS = {"neighbors": {"neighbors": 20}}
ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden" / "v0_2"
MIGRATIONS = Path("loco_stream", "_persistence", "migrations.py")
CHECK = """
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream.testing import check_expert
check_expert(next(expert for expert in EXPERTS if expert.name == "toy"))
"""
ADDED = """steps.add_expert(
    {"experts.toy.counts": lambda saved: np.zeros(len(saved.arrays["classes.n_rows"]))}
)"""
RESUME = """
import sys
from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor
from tests.helpers import golden_runs as runs
rows, y, _ = runs.named_rows("small")
engine = StreamEngine(
    LOCOClassifier(hidden_sizes=(12,), seed=42),
    list(zip(rows, y)),
    monitor=TaskMonitor(holdout=20, seed=1),
    checkpoint=sys.argv[1],
    delay=4,
    resume=True,
)
report = engine.run().to_dict()
assert report["n_samples"] == len(rows)
assert report["accuracy"] > 0.8, report["accuracy"]
"""


@pytest.mark.slow
@pytest.mark.parametrize("expert", EXPERTS, ids=lambda expert: expert.name)
def test_the_experts_of_the_package_pass(expert):
    check_expert(expert, **PARAMETERS.get(expert.name, {}))


def test_an_expert_must_be_in_the_table():
    with pytest.raises(AssertionError, match="expert 'other' must be in EXPERTS"):
        check_expert(EXPERTS[0]._replace(name="other"))


def test_a_name_must_be_an_identifier():
    with pytest.raises(AssertionError, match="must have an identifier as its name"):
        check_expert(EXPERTS[0]._replace(name="two words"))


def test_parameters_without_the_expert_are_refused():
    neighbors = next(expert for expert in EXPERTS if expert.name == "neighbors")
    with pytest.raises(AssertionError, match="has no outputs, scores, opinions or log-odds with"):
        check_expert(neighbors)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return a folder with a copy of the package that has one more expert."""
    folder = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__")
    source = Path(loco_stream.__file__).parent
    shutil.copytree(source, folder / "loco_stream", ignore=ignored)
    shutil.copy(TOY, folder / TABLE / "toy.py")
    table = folder / TABLE / "__init__.py"
    text = table.read_text()
    imported = text.replace("    transitions,\n)", "    toy,\n    transitions,\n)")
    last = f"    {EXPERTS[-1].name}.EXPERT,\n)"
    registered = imported.replace(last, last.replace(")", "    toy.EXPERT,\n)"))
    assert text != imported != registered
    table.write_text(registered)
    migrations = folder / MIGRATIONS
    text = migrations.read_text()
    imports = "import numpy as np\nfrom loco_stream._persistence import migration_steps as steps\n"
    migrated = text.replace("from loco_stream.errors", f"{imports}from loco_stream.errors")
    last = "in_order(MODELS, CHECKPOINTS, "
    migrated = migrated.replace(last, f"{last}{ADDED}, ")
    assert "steps.add" in migrated
    migrations.write_text(migrated)
    return folder


def run(code, package, cache, *arguments, fault=""):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=package,
        env=dict(
            os.environ,
            PYTHONPATH=os.pathsep.join([str(package), str(ROOT)]),
            TOY_FAULT=fault,
            LOCO_STREAM_CACHE_DIR=str(cache),
        ),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_an_expert_is_one_file_and_one_line(package, tmp_path):
    done = run(CHECK, package, tmp_path)
    assert done.returncode == 0, done.stderr
    for fault, sentence in (
        ("contribution", "`contribution` must add up to what it wrote"),
        ("check", "refuses its own state"),
    ):
        done = run(CHECK, package, tmp_path, fault=fault)  # the same kernels
        assert f"AssertionError: expert 'toy' {sentence}" in done.stderr
    checkpoint = shutil.copytree(GOLDEN / "run", tmp_path / "run")  # with rows that wait
    done = run(RESUME, package, tmp_path, str(checkpoint))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_faults_of_kernels_are_found(package, tmp_path):
    done = run(CHECK, package, tmp_path, fault="opinions")  # other kernels: a cache of its own
    sentence = "must write opinions that are probabilities"
    assert f"AssertionError: expert 'toy' {sentence}" in done.stderr

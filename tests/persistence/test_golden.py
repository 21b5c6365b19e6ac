"""Files of release 0.1, which had another learning rule, are refused in one sentence of advice.

They are kept to show that an old file is not reported as damaged.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from river import datasets

from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor, load, save
from loco_stream._persistence import format as persist
from loco_stream._persistence import migrations
from loco_stream.errors import CheckpointError

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v0_1"
SENTENCE = r"holds a {kind} of an earlier release, which cannot be migrated: .*train a new model"


@pytest.mark.parametrize(
    "name", ["classifier", "deep_alif", "delta_izhikevich", "paper", "regressor"]
)
def test_a_model_of_release_0_1_is_refused(name):
    kind = "LOCORegressor" if name == "regressor" else "LOCOClassifier"
    with pytest.raises(CheckpointError, match=rf"{name}\.loco {SENTENCE.format(kind=kind)}"):
        load(GOLDEN / f"{name}.loco")


def test_a_run_of_release_0_1_is_refused_and_its_files_stay(tmp_path):
    shutil.copytree(GOLDEN / "run", tmp_path, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    engine = StreamEngine(
        LOCOClassifier(hidden_sizes=(8,), seed=8),
        datasets.ImageSegments(),
        monitor=TaskMonitor(holdout=20, seed=1),
        checkpoint=tmp_path,
        delay=3,
        resume=True,
    )
    with pytest.raises(CheckpointError, match=SENTENCE.format(kind="checkpoint")):
        engine.run(max_samples=200)
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content


def test_this_release_writes_the_current_version(tmp_path):
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    model.learn_one({"a": 1.0}, "x")
    save(model, tmp_path / "new.loco")
    content = (tmp_path / "new.loco").read_bytes()
    assert int.from_bytes(content[8:10], "little") == migrations.VERSION
    assert persist.read(tmp_path / "new.loco").kind == "LOCOClassifier"
    assert load(tmp_path / "new.loco").n_seen == 1
    earlier = range(1, migrations.VERSION)
    assert sorted(migrations.MIGRATIONS) == list(earlier)

"""A run that is killed before its first regular checkpoint continues in the file that it read."""

from __future__ import annotations

import shutil

import pytest

from loco_stream.connectors import open_source
from loco_stream.engine import StreamEngine
from tests.helpers.standin import Means


def write(path, first, n):
    with path.open("a") as file:
        for i in range(first, first + n):
            file.write(f"{i / 10},{'on' if i % 2 else 'off'}\n")


def run(path, folder, n):
    """Learn until the model has `n` rows, then end as a killed process does."""
    source = open_source(f"csv:{path}?target=kind&follow=1&idle=3")
    seqs = []
    engine = StreamEngine(
        Means(),
        source,
        checkpoint=folder,
        resume=None,
        checkpoint_every=10_000,
        watchers=[lambda engine: engine.status["n_samples"] >= n and engine.stop()],
    )
    engine.on("prediction", lambda record: seqs.append(record["seq"]))
    engine._finish = lambda: None
    engine.run()
    return engine.report["n_samples"], seqs


def rename(path):
    path.rename(path.with_name("rows.csv.1"))
    path.write_text("a,kind\n")


def copy_and_truncate(path):
    shutil.copy(path, path.with_name("rows.csv.1"))
    path.write_text("a,kind\n")


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate])
@pytest.mark.parametrize("learned", [0, 300])
def test_rows_of_a_rotated_file_are_not_lost(tmp_path, rotate, learned):
    if rotate is copy_and_truncate and not learned:
        pytest.skip("before the first row nothing tells the file from the one that replaces it")
    path = tmp_path / "rows.csv"
    path.write_text("a,kind\n")
    write(path, 0, 300)
    folder = tmp_path / "state"
    if learned:
        assert run(path, folder, 300)[0] == 300
    else:
        source = open_source(f"csv:{path}?target=kind&follow=1&idle=3")
        engine = StreamEngine(Means(), source, checkpoint=folder, resume=None)
        engine._commits.open()  # killed before the first row
        engine._commits.close()
    rotate(path)
    write(path, 300, 100)
    n, seqs = run(path, folder, 400)
    assert n == 400
    assert seqs[-1] == 399
    assert len(set(seqs)) == len(seqs)

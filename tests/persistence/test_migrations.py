from __future__ import annotations

import os

import numpy as np
import pytest

from loco_stream._persistence import format as persist
from loco_stream._persistence import migrations
from loco_stream._persistence.content import Saved
from loco_stream._persistence.migration_steps import refuse
from loco_stream.errors import CheckpointError

WRITTEN = migrations.VERSION  # of the files that the tests write


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "old.loco"
    persist.write(path, "demo", {"x": 1}, {"w": np.ones(2)})
    return path


def release(monkeypatch, version, steps):
    monkeypatch.setattr(migrations, "VERSION", version)
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)


def test_an_old_file_is_migrated_step_by_step(old_file, monkeypatch):
    def add(saved):
        return Saved(saved.kind, {**saved.config, "y": 2}, saved.arrays)

    def rename(saved):
        return Saved(saved.kind, saved.config, {"weights": saved.arrays["w"]})

    release(monkeypatch, WRITTEN + 2, {WRITTEN: add, WRITTEN + 1: rename})
    saved = persist.read(old_file)
    assert saved.config == {"x": 1, "y": 2}
    assert saved.arrays["weights"].tolist() == [1.0, 1.0]


def test_a_migration_may_refuse_a_file_with_advice(old_file, monkeypatch):
    release(
        monkeypatch, WRITTEN + 1, {WRITTEN: refuse("learn it anew, or load it with release 0.1")}
    )
    with pytest.raises(
        CheckpointError, match=r"old\.loco holds a demo of an earlier .* learn it anew, or load"
    ):
        persist.read(old_file)


def test_unknown_versions_are_refused(old_file, monkeypatch):
    release(monkeypatch, 0, {})
    with pytest.raises(
        CheckpointError, match=rf"has format version {WRITTEN}, .*up to 0: update loco-stream"
    ):
        persist.read(old_file)
    release(monkeypatch, WRITTEN + 1, {})
    with pytest.raises(CheckpointError, match=f"has format version {WRITTEN}, which no release"):
        persist.read(old_file)


def test_a_file_larger_than_allowed_is_refused_unread(old_file):
    with pytest.raises(
        CheckpointError, match=r"must have at most 10 bytes \(`max_bytes`\), got \d+"
    ):
        persist.read(old_file, max_bytes=10)


@pytest.mark.parametrize("path", ["/dev/zero", "fifo", "folder"])
def test_only_regular_files_are_read(tmp_path, path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match=r"cannot read .*(regular file|directory)"):
        persist.read(tmp_path / path)


def test_content_that_a_migration_cannot_read_is_damage(old_file, monkeypatch):
    def step(saved):
        return Saved(saved.kind, {"y": saved.config["y"]}, saved.arrays)

    release(monkeypatch, WRITTEN + 1, {WRITTEN: step})
    with pytest.raises(CheckpointError, match=r"old\.loco is damaged: KeyError\('y'\)"):
        persist.read(old_file)

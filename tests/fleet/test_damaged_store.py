"""A fleet whose files are gone or damaged says so when it is opened."""

from __future__ import annotations

import shutil

import pytest

from loco_stream import Fleet, LOCOClassifier, StreamEngine
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.fleet._model_store import ModelStore
from tests.helpers.standin import Means

_PAGE = 16_384


def make(path):
    return Fleet(LOCOClassifier(hidden_sizes=(4,), seed=0), path, key_groups=4)


def test_a_deleted_group_is_noticed(tmp_path):
    with make(tmp_path) as fleet:
        for key in range(8):
            fleet.learn(key, [[0.5], [1.0]], ["on", "off"])
    group = sorted(tmp_path.glob("group-*"))[0]
    kept = shutil.move(group, tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"lacks {group.name}, which held models"):
        make(tmp_path)
    shutil.move(kept, group)
    with make(tmp_path) as fleet:
        assert len(fleet.keys()) == 8


def test_flipped_bits_are_a_sentence(tmp_path):
    path = tmp_path / "models.db"
    store = ModelStore(path)
    store.checkpoint(1, [(key, bytes(3000)) for key in range(60)])
    store.close()
    content = path.read_bytes()
    errors = []
    pages = range(_PAGE, len(content), _PAGE)
    assert len(pages) > 5
    for at in pages:  # the head of a page
        damaged = bytearray(content)
        damaged[at : at + 64] = bytes(64 * [0xA5])
        path.write_bytes(damaged)
        try:
            store = ModelStore(path)
        except CheckpointError as error:
            errors.append(str(error))
            continue
        try:
            list(store.keys())
            store.get(3)
        except CheckpointError as error:
            errors.append(str(error))
        finally:
            store.close()
    assert len(errors) == len(pages)
    assert all("cannot read or write the models" in error for error in errors)


def test_a_fleet_and_an_engine_have_their_own_folders(tmp_path):
    rows = [({"a": 0.5}, "on")] * 3
    with make(tmp_path / "fleet") as fleet:
        fleet.learn("press", [[0.5]], ["on"])
    for resume in (None, False, True):
        engine = StreamEngine(Means(), rows, checkpoint=tmp_path / "fleet", resume=resume)
        with pytest.raises(ConfigError, match="holds a fleet; an engine needs a folder of its own"):
            engine.run()
    StreamEngine(Means(), rows, checkpoint=tmp_path / "engine").run()
    with pytest.raises(ConfigError, match="holds the run of an engine; a fleet needs"):
        make(tmp_path / "engine")
    assert not (tmp_path / "engine" / "fleet.json").exists()
    with make(tmp_path / "fleet") as fleet:  # neither is locked
        assert len(fleet.keys()) == 1
    StreamEngine(Means(), rows, checkpoint=tmp_path / "engine", resume=True).run()

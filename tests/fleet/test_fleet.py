"""A fleet in this process."""

from __future__ import annotations

import errno
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from loco_stream import Fleet, LOCOClassifier, LOCORegressor, TaskMonitor
from loco_stream._persistence.files import atomic_write
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.fleet._home import stored_fleet
from loco_stream.fleet._rows import KeyRows, group_of, make_rows
from tests.helpers.fleet_process import SOURCE, abandon, rows_of, template


def alone(X, y, model=None, **options):
    """Return the digest of a single model that learned these rows."""
    model = model or template()
    model.learn_array(X, y, **options)
    return state_sha256(*export_model(model))


@pytest.fixture
def table():
    return {key: rows_of(key, 120) for key in range(9)}


def feed(fleet, table, start=0, stop=120, block=30):
    for at in range(start, stop, block):
        for key, (X, y) in table.items():
            fleet.learn(key, X[at : at + block], y[at : at + block])


def test_the_model_of_a_key_equals_a_single_model_on_its_rows(tmp_path, table):
    with Fleet(template(), tmp_path) as fleet:
        feed(fleet, table)
        assert sorted(fleet.keys()) == sorted(table)
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)


@pytest.mark.parametrize("resident", [1, 3])
def test_evicted_models_are_loaded_bit_identically(tmp_path, table, resident):
    with Fleet(template(), tmp_path, max_resident=resident) as fleet:
        feed(fleet, table, block=10)
        # models with few rows are stored as their rows
        feed(fleet, {key: rows_of(key, 3) for key in range(100, 120)}, stop=3, block=1)
        assert len(fleet._backend._shard._models) == resident
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)
        for key in range(100, 120):
            assert fleet.state_sha256(key) == alone(*rows_of(key, 3))


def test_predictions_equal_those_of_a_single_model(tmp_path, table):
    X, y = table[4]
    model = template()
    with Fleet(template(), tmp_path) as fleet:
        assert fleet.predict(4, X[:2]).tolist() == [None, None]
        assert fleet.learn_predict(4, X, y).tolist() == model.learn_predict_array(X, y).tolist()
        predicted = fleet.predict(4, X)
        assert predicted.tolist() == model.predict_array(X).tolist()
        assert predicted.dtype == model.predict_array(X).dtype


def test_a_call_without_rows_changes_nothing(tmp_path):
    X, y = rows_of(5, 4)
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn(5, X[:0], y[:0])
        assert fleet.keys() == []
        fleet.learn(5, X, y)
        assert fleet.learn_predict(5, X[:0], y[:0]).shape == (0,)
        assert (fleet.report(5), fleet.notes) == ({"n_samples": 4}, [])


def test_a_reopened_fleet_continues_where_it_ended(tmp_path, table):
    with Fleet(template(), tmp_path) as fleet:
        feed(fleet, table, 0, 60)
    with Fleet(None, tmp_path) as fleet:
        feed(fleet, table, 60, 120)
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)


def test_repeated_rows_are_learned_once(tmp_path, table):
    X, y = table[2]
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn(2, X[:50], y[:50], source=SOURCE, epoch=3, seq=0)
        # rows of an earlier run of the source
        fleet.learn(2, X[:50], y[:50], source=SOURCE, epoch=2, seq=900)
        fleet.learn(2, X[40:80], y[40:80], source=SOURCE, epoch=3, seq=40)
    with Fleet(None, tmp_path) as fleet:
        predicted = fleet.learn_predict(
            2, X[60:100], y[60:100], source=SOURCE, epoch=3, seq=range(60, 100)
        )
        assert len(predicted) == 40
        assert fleet.n_repeated == 20
        assert fleet.state_sha256(2) == alone(X[:100], y[:100])
        fleet.learn(2, X[100:], y[100:], source=SOURCE, epoch=4, seq=0)
        fleet.learn(2, X[:1], y[:1], source="another", seq=0)
        assert fleet.state_sha256(2) == alone(np.vstack([X, X[:1]]), [*y, *y[:1]])


def test_a_fleet_that_was_not_closed_replays_its_log(tmp_path, table):
    fleet = Fleet(template(), tmp_path, max_resident=4, checkpoint_every=100)
    feed(fleet, table, block=7)
    abandon(fleet)
    with Fleet(None, tmp_path) as fleet:
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)


def test_new_keys_start_from_a_trained_template(tmp_path, table):
    trained = template()
    trained.learn_array(*table[0])
    with Fleet(trained, tmp_path, max_resident=1) as fleet:
        X, y = table[1]
        fleet.learn("new", X, y)
        fleet.learn("other", X[:5], y[:5])
        assert fleet.state_sha256("new") == alone(X, y, trained)


def test_rows_by_name_texts_and_doubles_survive_the_log(tmp_path):
    rows = [{"a": 0.1 * i, "colour": "red" if i % 2 else "blue"} for i in range(50)]
    labels = [bool(i % 2) for i in range(50)]
    mixed = np.array([[0.5, "red"], [1.5, "blue"]] * 25, object)
    wide = np.random.default_rng(0).normal(size=(50, 3))
    fleet = Fleet(template(), tmp_path)
    fleet.learn("named", rows, labels)
    fleet.learn("one", {"a": 0.5}, True)
    fleet.learn("mixed", mixed, labels)
    fleet.learn("double", wide, labels, features=("x", "y", "z"))
    abandon(fleet)
    named = template()
    for x, y in zip(rows, labels, strict=True):
        named.learn_one(x, y)
    with Fleet(None, tmp_path) as fleet:
        assert fleet.state_sha256("named") == state_sha256(*export_model(named))
        assert fleet.state_sha256("mixed") == alone(mixed, labels)
        assert fleet.state_sha256("double") == alone(wide, labels, features=("x", "y", "z"))
        assert fleet.predict("one", {"a": 0.5}).tolist() == [True]


def test_the_models_may_be_regressors(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    with Fleet(LOCORegressor(hidden_sizes=(8,), seed=2), tmp_path) as fleet:
        assert fleet.learn_predict("a", X, X.sum(1)).shape == (60,)
        assert fleet.state_sha256("a") == alone(
            X, X.sum(1), LOCORegressor(hidden_sizes=(8,), seed=2)
        )


def test_the_report_of_a_monitored_key_is_stored(tmp_path):
    X, y = rows_of(7, 1200)
    y[800:] = ["ok" if label == "worn" else "worn" for label in y[800:]]
    with Fleet(template(), tmp_path, monitor=TaskMonitor(holdout=20), max_resident=1) as fleet:
        fleet.learn("turns", X, y)
        fleet.learn("stays", X[:200], y[:200])
        before = fleet.report("turns")
        assert 0.5 < before["accuracy"] < 1.0
        assert len(before["drifts"]) >= 1
        assert before["last_drift"] is not None
        assert fleet.report("stays")["drifts"] == []
    with Fleet(None, tmp_path, monitor=TaskMonitor(holdout=20)) as fleet:
        assert fleet.report("turns") == before


def test_invalid_rows_are_refused_and_change_nothing(tmp_path, table):
    X, y = table[0]
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("a", X, y)
        for wrong in (
            lambda: fleet.learn("a", X[:, :2], y),
            lambda: fleet.learn("a", X, y[:3]),
            lambda: fleet.learn("a", X[0], y[:1]),
            lambda: fleet.learn(None, X, y),
            lambda: fleet.learn("b", X, [None] * 120),
            lambda: fleet.learn("a", X[:2], y[:2], seq=[3, 3]),
            lambda: fleet.state_sha256("nobody"),
            lambda: fleet.report("nobody"),
        ):
            with pytest.raises(InputError):
                wrong()
        assert fleet.keys() == ["a"]
        assert fleet.n_refused == 240
        assert fleet.state_sha256("a") == alone(X, y)
        fleet.learn("b", X, y, features=("p", "q", "r"))
    with Fleet(None, tmp_path) as fleet:  # refused rows are in the log
        assert fleet.state_sha256("b") == alone(X, y, features=("p", "q", "r"))


def test_rows_that_raise_in_a_model_are_set_aside(tmp_path, table, monkeypatch):
    X, y = table[0]
    whole = LOCOClassifier.learn_array

    def raises(self, X, y, features=None):
        if len(X) == 13:
            raise ZeroDivisionError("a defect")
        whole(self, X, y, features)

    monkeypatch.setattr(LOCOClassifier, "learn_array", raises)
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("a", X, y)
        with pytest.raises(InputError, match="set aside"):
            fleet.learn("a", X[:13], y[:13])
        fleet.learn("a", X[:20], y[:20])
        assert fleet.state_sha256("a") == alone(np.vstack([X, X[:20]]), y + y[:20])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"key_groups": 0}, "key_groups"),
        ({"max_resident": 0}, "max_resident"),
        ({"workers": -1}, "workers"),
        ({"durability": "off"}, "durability"),
        ({"model": None}, "there is no fleet"),
        ({"model": "a text"}, "LOCOClassifier"),
        ({"directory": LOCOClassifier()}, "`directory` must be a path or a URL, got LOCOCl"),
        ({"model": LOCOClassifier}, "`model` must be an object, got the class LOCOClassifier"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, options, text):
    with pytest.raises(ConfigError, match=text):
        Fleet(**{"model": template(), "directory": tmp_path, **options})


def test_a_directory_is_locked_and_keeps_its_settings(tmp_path):
    with Fleet(template(), tmp_path), pytest.raises(ConfigError, match="in use"):
        Fleet(template(), tmp_path)
    with pytest.raises(ConfigError, match="must equal the one"):
        Fleet(LOCOClassifier(seed=9), tmp_path)
    with pytest.raises(ConfigError, match="key_groups = 64"):
        Fleet(None, tmp_path, key_groups=8)


def test_a_setting_that_was_added_later_is_neither_changed_nor_forgotten(tmp_path):
    for settings in ({"key": "device"}, {"key": "device", "missing_values": (-999.0,)}):
        Fleet(template(), tmp_path, settings=settings).close()
    assert stored_fleet(tmp_path).settings == {"key": "device", "missing_values": [-999.0]}
    with pytest.raises(ConfigError, match="missing_values"):
        Fleet(template(), tmp_path, settings={"missing_values": (5.0,)})


def test_damaged_files_raise_a_checkpoint_error(tmp_path, table):
    with Fleet(template(), tmp_path, key_groups=1) as fleet:
        feed(fleet, table)
    store = tmp_path / "group-0000" / "models.db"
    content = bytearray(store.read_bytes())
    for at in range(20_000, len(content), 4000):
        content[at] ^= 255
    store.write_bytes(content)
    with Fleet(None, tmp_path, key_groups=1) as fleet, pytest.raises(CheckpointError):
        [fleet.state_sha256(key) for key in table]


def test_on_a_full_disk_no_row_is_learned_that_is_not_logged(tmp_path, table, monkeypatch):
    X, y = table[0]
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("a", X[:60], y[:60], source=SOURCE, seq=0)

        def full(self, record):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("loco_stream.engine._wal.WriteAheadLog._write", full)
            with pytest.raises(CheckpointError, match="No space left"):
                fleet.learn("a", X[60:], y[60:], source=SOURCE, seq=60)
        fleet.learn("a", X[60:], y[60:], source=SOURCE, seq=60)
        assert fleet.state_sha256("a") == alone(X, y)


@pytest.mark.parametrize("name", ["fleet.json", "template.loco"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, name, monkeypatch):
    def write(path, content, mode):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return atomic_write(path, content, mode)

    monkeypatch.setattr("loco_stream.fleet._storage.atomic_write", write)
    with pytest.raises(ConfigError, match=f"^cannot write {tmp_path / name}: No space left"):
        Fleet(template(), tmp_path)
    monkeypatch.undo()
    Fleet(template(), tmp_path).close()


def test_a_fleet_whose_directory_is_gone_is_closed(tmp_path, table, monkeypatch):
    def refuse(path, content, mode):
        raise OSError(errno.EROFS, "Read-only file system")

    fleet = Fleet(template(), tmp_path)
    feed(fleet, table)
    monkeypatch.setattr("loco_stream.fleet._storage.atomic_write", refuse)
    fleet.close()
    monkeypatch.undo()
    with Fleet(None, tmp_path) as again:
        assert sorted(again.keys()) == sorted(table)


def test_encoded_rows_are_decoded_unchanged():
    rows = make_rows("k", np.eye(3), [1, "two", 3.5], ("a", "b", "c"), "s", 4, [1, 5, 6])
    back = KeyRows.decode(rows.encode())
    assert (back.key, back.y, back.features, back.source, back.epoch) == (
        "k",
        [1, "two", 3.5],
        ("a", "b", "c"),
        "s",
        4,
    )
    assert back.X.tolist() == rows.X.tolist()
    assert back.seq.tolist() == [1, 5, 6]


def test_the_group_of_a_key_is_its_crc_32():
    assert [group_of(key, 64) for key in ("device 1", "device 2", 17, -3)] == [52, 14, 2, 6]


def test_invalid_unicode_is_refused(tmp_path):
    with Fleet(template(), tmp_path) as fleet:
        with pytest.raises(InputError, match="valid Unicode"):
            fleet.learn("a\ud800", [[1.0, 2.0, 3.0]], ["ok"])
        with pytest.raises(InputError, match="`y` must be a text of valid Unicode, got"):
            fleet.learn("a", [[1.0, 2.0, 3.0]], ["ok\ud800"])
        with pytest.raises(InputError, match=r"`y` must be a text, .* got .* of type UUID"):
            fleet.learn("a", [[1.0, 2.0, 3.0]], [uuid.UUID(int=1)])
        assert fleet.n_refused == 2
        assert fleet.keys() == []


@pytest.mark.parametrize("make", [pd.DataFrame, pa.Table.from_pydict], ids=["pandas", "pyarrow"])
def test_a_frame_keeps_the_names_of_its_columns(tmp_path, make):
    colours = ["red", None, "blue"] * 10
    columns = {"size": np.arange(30.0) % 7, "colour": colours, "on": [True, False] * 15}
    frame = make(columns)
    y = ["ok", "worn"] * 15
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("frame", frame, y)
        fleet.learn("rows", rows, y)
        assert fleet.model("frame").features == ("colour", "on", "size")
        assert fleet.state_sha256("frame") == fleet.state_sha256("rows")
        predicted = fleet.predict("frame", frame)
        assert predicted.tolist() == fleet.predict("rows", rows).tolist()

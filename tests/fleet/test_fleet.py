"""A fleet in this process."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, LOCORegressor, TaskMonitor
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.fleet.rows import Rows, group_of, make_rows
from tests.helpers.fleet_process import SOURCE, rows_of, template


def alone(X, y, model=None, **options):
    """The state of one model that learned these rows and no others."""
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


def test_each_key_has_the_model_it_would_have_alone(tmp_path, table):
    with Fleet(template(), tmp_path) as fleet:
        feed(fleet, table)
        assert sorted(fleet.keys()) == sorted(table)
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)


@pytest.mark.parametrize("resident", [1, 3])
def test_models_that_rest_come_back_to_the_bit(tmp_path, table, resident):
    with Fleet(template(), tmp_path, max_resident=resident) as fleet:
        feed(fleet, table, block=10)
        feed(
            fleet, {key: rows_of(key, 3) for key in range(100, 120)}, stop=3, block=1
        )  # young ones rest as rows
        assert len(fleet._backend._host._models) == resident
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)
        for key in range(100, 120):
            assert fleet.state_sha256(key) == alone(*rows_of(key, 3))


def test_predictions_are_those_of_the_model_alone(tmp_path, table):
    X, y = table[4]
    model = template()
    with Fleet(template(), tmp_path) as fleet:
        assert fleet.predict(4, X[:2]).tolist() == [None, None]
        assert fleet.learn_predict(4, X, y).tolist() == model.learn_predict_array(X, y).tolist()
        said = fleet.predict(4, X)
        assert said.tolist() == model.predict_array(X).tolist()
        assert said.dtype == model.predict_array(X).dtype


def test_no_rows_are_learned_as_no_rows(tmp_path):
    X, y = rows_of(5, 4)
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn(5, X[:0], y[:0])
        assert fleet.keys() == []
        fleet.learn(5, X, y)
        assert fleet.learn_predict(5, X[:0], y[:0]).shape == (0,)
        assert (fleet.report(5), fleet.notes) == ({"n_samples": 4}, [])


def test_a_fleet_goes_on_where_it_ended(tmp_path, table):
    with Fleet(template(), tmp_path) as fleet:
        feed(fleet, table, 0, 60)
    with Fleet(None, tmp_path) as fleet:
        feed(fleet, table, 60, 120)
        for key, (X, y) in table.items():
            assert fleet.state_sha256(key) == alone(X, y)


def test_rows_that_come_again_are_learned_once(tmp_path, table):
    X, y = table[2]
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn(2, X[:50], y[:50], source=SOURCE, epoch=3, seq=0)
        fleet.learn(
            2, X[:50], y[:50], source=SOURCE, epoch=2, seq=900
        )  # of an older run of the source
        fleet.learn(2, X[40:80], y[40:80], source=SOURCE, epoch=3, seq=40)
    with Fleet(None, tmp_path) as fleet:
        said = fleet.learn_predict(
            2, X[60:100], y[60:100], source=SOURCE, epoch=3, seq=range(60, 100)
        )
        assert len(said) == 40
        assert fleet.n_repeated == 20
        assert fleet.state_sha256(2) == alone(X[:100], y[:100])
        fleet.learn(2, X[100:], y[100:], source=SOURCE, epoch=4, seq=0)
        fleet.learn(2, X[:1], y[:1], source="another", seq=0)
        assert fleet.state_sha256(2) == alone(np.vstack([X, X[:1]]), [*y, *y[:1]])


def test_a_fleet_that_is_not_closed_learns_its_log_again(tmp_path, table):
    fleet = Fleet(template(), tmp_path, max_resident=4, checkpoint_every=100)
    feed(fleet, table, block=7)
    fleet._backend._host.abandon()  # as if the process had been killed
    fleet._home.close()
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


def test_rows_by_name_texts_and_doubles_are_kept_as_they_are(tmp_path):
    rows = [{"a": 0.1 * i, "colour": "red" if i % 2 else "blue"} for i in range(50)]
    labels = [bool(i % 2) for i in range(50)]
    mixed = np.array([[0.5, "red"], [1.5, "blue"]] * 25, object)
    wide = np.random.default_rng(0).normal(size=(50, 3))
    fleet = Fleet(template(), tmp_path)
    fleet.learn("named", rows, labels)
    fleet.learn("one", {"a": 0.5}, True)
    fleet.learn("mixed", mixed, labels)
    fleet.learn("double", wide, labels, features=("x", "y", "z"))
    fleet._backend._host.abandon()
    fleet._home.close()
    named = template()
    for x, y in zip(rows, labels, strict=True):
        named.learn_one(x, y)
    with Fleet(None, tmp_path) as fleet:
        assert fleet.state_sha256("named") == state_sha256(*export_model(named))
        assert fleet.state_sha256("mixed") == alone(mixed, labels)
        assert fleet.state_sha256("double") == alone(wide, labels, features=("x", "y", "z"))
        assert fleet.predict("one", {"a": 0.5}).tolist() == [True]


def test_a_regressor_for_each_key(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    with Fleet(LOCORegressor(hidden_sizes=(8,), seed=2), tmp_path) as fleet:
        assert fleet.learn_predict("a", X, X.sum(1)).shape == (60,)
        assert fleet.state_sha256("a") == alone(
            X, X.sum(1), LOCORegressor(hidden_sizes=(8,), seed=2)
        )


def test_each_key_is_watched_and_its_report_outlives_the_process(tmp_path):
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


def test_what_cannot_be_learned_is_refused_in_words_and_changes_nothing(tmp_path, table):
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
    with Fleet(None, tmp_path) as fleet:  # refused rows stand in the log
        assert fleet.state_sha256("b") == alone(X, y, features=("p", "q", "r"))


def test_rows_that_break_a_model_are_set_aside_and_the_others_go_on(tmp_path, table, monkeypatch):
    X, y = table[0]
    whole = LOCOClassifier.learn_array

    def breaks(self, X, y, features=None):
        if len(X) == 13:
            raise ZeroDivisionError("a defect")
        whole(self, X, y, features)

    monkeypatch.setattr(LOCOClassifier, "learn_array", breaks)
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
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, options, text):
    with pytest.raises(ConfigError, match=text):
        Fleet(**{"model": template(), "directory": tmp_path, **options})


def test_a_directory_belongs_to_one_fleet_of_one_kind(tmp_path):
    with Fleet(template(), tmp_path), pytest.raises(ConfigError, match="in use"):
        Fleet(template(), tmp_path)
    with pytest.raises(ConfigError, match="another model"):
        Fleet(LOCOClassifier(seed=9), tmp_path)
    with pytest.raises(ConfigError, match="key_groups = 64"):
        Fleet(None, tmp_path, key_groups=8)


def test_damaged_files_are_told(tmp_path, table):
    with Fleet(template(), tmp_path, key_groups=1) as fleet:
        feed(fleet, table)
    store = tmp_path / "group-0000" / "models.db"
    content = bytearray(store.read_bytes())
    for at in range(20_000, len(content), 4000):
        content[at] ^= 255
    store.write_bytes(content)
    with Fleet(None, tmp_path, key_groups=1) as fleet, pytest.raises(CheckpointError):
        [fleet.state_sha256(key) for key in table]


def test_a_full_disk_is_told_and_nothing_unlogged_is_learned(tmp_path, table, monkeypatch):
    X, y = table[0]
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("a", X[:60], y[:60], source=SOURCE, seq=0)

        def full(self, record):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("loco_stream.engine.wal.WriteAheadLog._write", full)
            with pytest.raises(CheckpointError, match="No space left"):
                fleet.learn("a", X[60:], y[60:], source=SOURCE, seq=60)
        fleet.learn("a", X[60:], y[60:], source=SOURCE, seq=60)
        assert fleet.state_sha256("a") == alone(X, y)


def test_rows_survive_their_bytes():
    rows = make_rows("k", np.eye(3), [1, "two", 3.5], ("a", "b", "c"), "s", 4, [1, 5, 6])
    back = Rows.decode(rows.encode())
    assert (back.key, back.y, back.features, back.source, back.epoch) == (
        "k",
        [1, "two", 3.5],
        ("a", "b", "c"),
        "s",
        4,
    )
    assert back.X.tolist() == rows.X.tolist()
    assert back.seq.tolist() == [1, 5, 6]


def test_a_key_stays_in_its_group():
    assert [group_of(key, 64) for key in ("device 1", "device 2", 17, -3)] == [
        52,
        14,
        2,
        6,
    ]  # CRC-32, as any other program computes it


def test_texts_that_are_no_unicode_are_refused_and_nothing_stops(tmp_path):
    with Fleet(template(), tmp_path) as fleet:
        with pytest.raises(InputError, match="valid Unicode"):
            fleet.learn("a\ud800", [[1.0, 2.0, 3.0]], ["ok"])
        with pytest.raises(InputError, match="cannot store"):
            fleet.learn("a", [[1.0, 2.0, 3.0]], ["ok\ud800"])
        assert fleet.n_refused == 1
        assert fleet.keys() == []

"""Rules by which the keys of a fleet choose classes: their own, and one for all."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, LOCORegressor, TaskMonitor
from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._storage import DirectoryStorage
from tests.helpers.fleet_process import abandon, rows_of, template

WORN = {"worn": 1e-9}
OK = {"ok": 1e-9}
QUESTION = rows_of(99, 30)[0]


def learned(fleet, keys=("a", "b"), n=60):
    for number, key in enumerate(keys):
        fleet.learn(key, *rows_of(number, n), source="s", seq=0)


def share_of_worn(fleet, key):
    return float(np.mean(fleet.predict(key, QUESTION) == "worn"))


def by_itself(key_number, rule, n=60):
    """Return the predictions of a single model of a key's rows."""
    model = template()
    model.learn_array(*rows_of(key_number, n))
    model.set_decision(**rule)
    return model.predict_array(QUESTION, in_stream=False).tolist()


@pytest.mark.parametrize("n", [10, 60])  # few rows are stored as rows, others as a model
@pytest.mark.parametrize("end", ["evicted", "closed", "killed"])
def test_a_key_keeps_its_own_rule(tmp_path, end, n):
    fleet = Fleet(template(), tmp_path, max_resident=3)
    learned(fleet, n=n)
    fleet.set_decision("a", thresholds=WORN)
    before = fleet.state_sha256("a")
    if end == "evicted":
        assert fleet.evict(["a", "b"]) == 2
    else:
        abandon(fleet) if end == "killed" else fleet.close()
        fleet = Fleet(None, tmp_path)
    with fleet:
        assert fleet.decision("a") == {"thresholds": WORN}
        assert fleet.decision("b") is None
        assert fleet.predict("a", QUESTION).tolist() == by_itself(0, {"thresholds": WORN}, n)
        assert fleet.predict("b", QUESTION).tolist() == by_itself(1, {}, n)
        assert fleet.state_sha256("a") == before
        assert fleet.report("a")["decision"]["thresholds"] == [["worn", 1e-9]]


@pytest.mark.parametrize("n", [10, 60])
def test_a_rule_for_all_keys_holds_also_for_evicted_and_new_ones(tmp_path, n):
    keys = [f"press {i}" for i in range(5)]
    with Fleet(template(), tmp_path, max_resident=2) as fleet:
        learned(fleet, keys, n)
        fleet.set_decision("press 1", thresholds=OK)
        fleet.set_decision(thresholds=WORN)
        learned(fleet, ["new"], n)
        for key in ("press 0", "press 4", "new"):
            assert fleet.decision(key) == fleet.decision() == {"thresholds": WORN}
            assert share_of_worn(fleet, key) == 1.0
        assert share_of_worn(fleet, "press 1") == 0.0
    with Fleet(None, tmp_path) as fleet:
        assert share_of_worn(fleet, "press 0") == 1.0
        fleet.set_decision("press 1")  # follows the rule for all keys again
        assert share_of_worn(fleet, "press 1") == 1.0
        fleet.set_decision()
        assert fleet.decision() is None
        assert fleet.predict("press 0", QUESTION).tolist() == by_itself(0, {}, n)
    with Fleet(None, tmp_path) as fleet:
        assert fleet.decision("press 1") is None


def test_the_rule_of_the_template_is_that_of_the_keys_until_another_is_set(tmp_path):
    model = template()
    model.set_decision(costs={("worn", "ok"): 1e9})
    with Fleet(model, tmp_path) as fleet:
        learned(fleet)
        assert fleet.decision() == {"costs": {("worn", "ok"): 1e9}}
        assert share_of_worn(fleet, "a") == 1.0
        fleet.set_decision()
    with Fleet(model, tmp_path) as fleet:
        assert fleet.decision() is None
        assert fleet.predict("a", QUESTION).tolist() == by_itself(0, {})


def test_a_key_that_starts_anew_keeps_its_rule(tmp_path):
    with Fleet(template(), tmp_path) as fleet:
        learned(fleet)
        fleet.set_decision("a", thresholds=WORN)
        fleet.reset("a")
        fleet.learn("a", *rows_of(0, 60), source="s", seq=60)
        assert share_of_worn(fleet, "a") == 1.0
        abandon(fleet)
    with Fleet(None, tmp_path) as fleet:
        assert fleet.decision("a") == {"thresholds": WORN}


def test_a_rule_from_the_log_is_stored_with_the_model_when_the_fleet_closes(tmp_path):
    fleet = Fleet(template(), tmp_path)
    learned(fleet)
    fleet.checkpoint()
    fleet.set_decision("a", thresholds=WORN)
    abandon(fleet)
    for n_entries in (1, 0):  # of the log, which has no more rows
        with Fleet(None, tmp_path) as fleet:
            assert fleet.decision("a") == {"thresholds": WORN}
            shard = fleet._backend._shard
            assert [shard.open(number).rows_since for number in shard.opened] == [n_entries]


def test_rows_in_the_log_of_a_killed_fleet_keep_the_scores_of_their_rule(tmp_path):
    """The rule changes before anything is asked of the key, whose rows are only in the log."""
    reports = []
    for is_killed in (False, True):
        fleet = Fleet(template(), tmp_path / str(is_killed), monitor=TaskMonitor())
        learned(fleet, ["a"], 30)
        if is_killed:
            abandon(fleet)
            fleet = Fleet(None, tmp_path / str(is_killed), monitor=TaskMonitor())
        with fleet:
            fleet.set_decision(thresholds=WORN)
            reports.append(fleet.report("a"))
    assert reports[0] == reports[1]


@pytest.mark.parametrize("own", [True, False])
def test_scores_of_few_rows_are_those_of_the_rules_of_their_time(tmp_path, own):
    """A key whose model was stored as its rows is the same as one that stayed in memory."""
    states = []
    for evicts in (False, True):
        with Fleet(template(), tmp_path / str(evicts), monitor=TaskMonitor()) as fleet:
            X, y = rows_of(0, 30)
            for begin in range(0, 30, 10):
                fleet.learn(
                    "a", X[begin : begin + 10], y[begin : begin + 10], source="s", seq=begin
                )
                fleet.set_decision("a" if own else None, thresholds=[WORN, OK, WORN][begin // 10])
                if evicts:
                    assert fleet.evict(["a"]) == 1
            states.append((fleet.report("a"), fleet._backend.state("a")))
    assert states[0] == states[1]


def test_scores_after_the_end_of_an_own_rule_are_those_of_the_rule_of_that_time(tmp_path):
    """The rule of all keys changed while the key, which is stored as its rows, had its own."""
    states = []
    for evicts in (False, True):
        with Fleet(template(), tmp_path / str(evicts), monitor=TaskMonitor()) as fleet:
            X, y = rows_of(0, 30)
            fleet.set_decision(thresholds=OK)
            fleet.learn("a", X[:10], y[:10], source="s", seq=0)
            fleet.set_decision("a", thresholds=WORN)
            fleet.set_decision(thresholds=WORN)
            fleet.set_decision("a")
            fleet.learn("a", X[10:20], y[10:20], source="s", seq=10)
            if evicts:
                assert fleet.evict(["a"]) == 1
            fleet.learn("a", X[20:], y[20:], source="s", seq=20)
            states.append((fleet.report("a"), fleet._backend.state("a")))
    assert states[0] == states[1]


@pytest.mark.parametrize("share", ["start", "prior"])
def test_keys_that_share_knowledge_choose_by_the_rule(tmp_path, share):
    X, y = rows_of(0, 400)
    model = LOCOClassifier(rule="frozen", hidden_sizes=(8,), seed=1)
    model.learn_array(X, y)
    with Fleet(model, tmp_path, share=share) as fleet:
        learned(fleet)
        fleet.pool()
        fleet.set_decision(thresholds=WORN)
        learned(fleet, ["new"])
        assert [share_of_worn(fleet, key) for key in ("a", "new", "unknown")] == [1.0, 1.0, 1.0]
        said = fleet.learn_predict("a", *rows_of(0, 20), source="s", seq=100)
        assert set(said.tolist()) == {"worn"}
        fleet.set_decision("a", thresholds=OK)
        assert [share_of_worn(fleet, key) for key in ("a", "new")] == [0.0, 1.0]
    with Fleet(None, tmp_path, share=share) as fleet:
        assert [share_of_worn(fleet, key) for key in ("a", "new")] == [0.0, 1.0]


def test_rules_that_cannot_be_are_refused(tmp_path):
    with Fleet(template(), tmp_path / "a") as fleet:
        learned(fleet)
        with pytest.raises(InputError, match="key 'c' has no model"):
            fleet.set_decision("c", thresholds=WORN)
        with pytest.raises(ConfigError, match="`thresholds` must be a dict"):
            fleet.set_decision(thresholds={"worn": 2.0})
        with pytest.raises(ConfigError, match="labels of a rule must be"):
            fleet.set_decision(thresholds={("worn", 1): 0.5})
        assert fleet.decision() is None
    with (
        Fleet(LOCORegressor(hidden_sizes=(8,)), tmp_path / "b") as fleet,
        pytest.raises(ConfigError, match="needs a LOCOClassifier, got LOCORegressor"),
    ):
        fleet.set_decision(thresholds=WORN)


def test_a_rule_that_cannot_be_stored_does_not_hold_and_is_set_by_another_try(
    tmp_path, monkeypatch
):
    def full(storage, content):
        raise OSError("no space left on device")

    with Fleet(template(), tmp_path) as fleet:
        learned(fleet)
        with monkeypatch.context() as patched:
            patched.setattr(DirectoryStorage, "write_header", full)
            with pytest.raises(OSError, match="no space left"):
                fleet.set_decision(thresholds=WORN)
        assert fleet.decision() is None
        fleet.set_decision(thresholds=WORN)
        assert fleet.predict("a", QUESTION).tolist() == by_itself(0, {"thresholds": WORN})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_workers_choose_by_the_rules(tmp_path):
    pytest.importorskip("ray")
    with Fleet(template(), tmp_path, workers=2) as fleet:
        learned(fleet, ["a", "b", "c", "d"])
        fleet.set_decision(thresholds=WORN)
        fleet.set_decision("b", thresholds=OK)
        assert [share_of_worn(fleet, key) for key in "abcd"] == [1.0, 0.0, 1.0, 1.0]
    with Fleet(None, tmp_path) as fleet:
        assert [share_of_worn(fleet, key) for key in "abcd"] == [1.0, 0.0, 1.0, 1.0]

"""Keys that share a pooled model: new keys gain, contradicting keys do not lose."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from loco_stream import AdvancedOptions, Fleet, LOCOClassifier, TaskMonitor, load
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._operations import FleetOperations, open_fleet
from loco_stream.fleet._rows import LABELS, OBSERVE, KeyRows, make_rows
from loco_stream.fleet._sharing import Mixture, PoolSchedule, blank_of
from tests.helpers.fleet_process import abandon

NAMES = ("a", "b", "c", "d")


def rows(key, n, swapped=False):
    random = np.random.default_rng(100 + key)
    X = random.normal(size=(n, 4)).astype(np.float32)
    score = X @ np.array([1.0, -1.0, 0.5, 0.2]) + 0.2 * random.normal(size=n)
    return X, np.where((score > 0) != swapped, "worn", "ok").tolist()


def trained(**options):
    model = LOCOClassifier(hidden_sizes=(16,), seed=1, **options)
    model.learn_array(*rows(999, 320), NAMES)
    return model


@pytest.fixture(scope="module", params=["frozen", "default"])
def template(request):
    return trained(rule="frozen") if request.param == "frozen" else trained()


def feed(fleet, keys, n, begin=0, block=10, swapped=False):
    """Learn rows in turns; return the share of correct predictions."""
    hits = []
    for at in range(begin, begin + n, block):
        for key in keys:
            X, y = rows(key, begin + n, swapped)
            part = slice(at, at + block)
            found = fleet.learn_predict(
                key, X[part], y[part], features=NAMES, source="s", epoch=1, seq=at
            )
            hits.append(found == np.array(y[part]))
    return np.mean(hits)


def test_new_keys_gain_and_contradicting_keys_do_not_lose(template, tmp_path):
    with Fleet(template, tmp_path / "a", share="prior", share_every=500) as fleet:
        feed(fleet, range(12), 60)
        assert any((tmp_path / "a").glob("shared-*.loco"))
        shared = {s: feed(fleet, range(20, 24), 40, swapped=s) for s in (False,)}
        shared[True] = feed(fleet, range(30, 34), 100, swapped=True)
        assert fleet.report(30)["shared_weight"] < 0.5
        X, y = rows(50, 200)
        for key in ("never seen", None):
            found = fleet.predict(key, X, NAMES)
            assert np.mean(found == np.array(y)) > 0.85
            assert fleet.values(key, X, NAMES)[0].shape == (200, 2)
    with Fleet(blank_of(template), tmp_path / "b") as fleet:
        alone = {False: feed(fleet, range(20, 24), 40)}
        alone[True] = feed(fleet, range(30, 34), 100, swapped=True)
    assert shared[False] > alone[False] + 0.02
    assert shared[True] > alone[True] - 0.05


def test_what_a_key_learns_does_not_depend_on_the_others(template, tmp_path):
    with Fleet(template, tmp_path, share="prior", share_every=100) as fleet:
        feed(fleet, range(4), 60)
        X, y = rows(2, 60)
        alone = blank_of(template)
        alone.learn_array(X, y, NAMES)
        assert fleet.state_sha256(2) == state_sha256(*export_model(alone))


@pytest.mark.parametrize("share", ["start", "prior"])
def test_a_fleet_continues_after_a_crash_with_the_same_knowledge(share, tmp_path):
    states = []
    for name in ("whole", "crashed"):
        folder = tmp_path / name
        fleet = Fleet(trained(), folder, share=share, share_every=100, max_resident=3)
        feed(fleet, range(5), 60)
        if name == "crashed":
            abandon(fleet)
            fleet = Fleet(None, folder, share=share, max_resident=3)
        X, _ = rows(3, 20)
        states.append([(fleet.state_sha256(key), fleet.report(key)) for key in range(5)])
        states[-1].append(fleet.predict(3, X, NAMES).tolist())
        fleet.close()
    assert states[0] == states[1]


def moments(model):
    """Return rows and means of each class on the fixed layer, with the rows that wait."""
    own = model._core.state.experts.discriminant
    n_waiting = own.n_waiting[0]
    classes = own.waiting_classes[:n_waiting]
    n_rows = own.n_rows + classes.sum(axis=0)
    sums = own.means * own.n_rows[:, None] + classes.T @ own.waiting[:n_waiting]
    return [n_rows, sums / n_rows[:, None], own.total + n_waiting]


@pytest.mark.parametrize("share", ["start", "prior"])
def test_each_row_is_pooled_once(share, tmp_path):
    template = trained()
    whole = trained()
    with Fleet(template, tmp_path, share=share, share_every=10**6) as fleet:
        for part in range(3):  # keys of later parts begin with what is pooled before
            for key in range(4 * part, 4 * part + 4):
                fleet.learn(key, *rows(key, 40), features=NAMES)
                whole.learn_array(*rows(key, 40), NAMES)
            fleet.pool()
        fleet.learn(3, *rows(50, 40), features=NAMES)
        whole.learn_array(*rows(50, 40), NAMES)
        fleet.pool()
        pooled = fleet._backend._shard._factory.shared.model
        assert pooled.n_seen == 320 + 13 * 40
        for found, expected in zip(moments(pooled), moments(whole), strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-3)


def test_new_keys_start_as_the_merged_model(tmp_path):
    with Fleet(trained(), tmp_path, share="start", share_every=400) as fleet:
        feed(fleet, range(8), 60)
        start = copy.copy(fleet._backend._shard._factory.shared.model)
        assert start.n_seen > 700
        X, y = rows(77, 30)
        assert (
            fleet.predict("new", X, NAMES).tolist()
            == start.predict_array(X, NAMES, in_stream=False).tolist()
        )
        fleet.learn("new", X, y, features=NAMES)
        start.learn_array(X, y, NAMES)
        digest = state_sha256(*export_model(start))
        assert fleet.state_sha256("new") == digest
        assert "shared_weight" not in fleet.report("new")
    with Fleet(None, tmp_path, share="start") as fleet:
        assert fleet.state_sha256("new") == digest
        fleet.pool()
        fleet.reset("new")
        fleet.learn("new", X, y, features=NAMES)
        assert fleet.model("new").n_seen > start.n_seen  # it began with what was pooled since


@pytest.mark.parametrize("share", ["start", "prior"])
def test_late_labels_and_a_monitor(share, tmp_path):
    """Rows whose labels come later give the mixture of rows that come with their labels."""
    X, y = rows(4, 300, swapped=True)
    with Fleet(trained(), tmp_path, share=share, monitor=TaskMonitor()) as fleet:
        for i in range(0, 300, 10):
            part = slice(i, i + 10)
            one = make_rows("now", X[part], y[part], NAMES, "s", 1, i)
            waiting = make_rows("late", X[part], y[part], NAMES, "s", 1, i)
            come = KeyRows(
                "late", np.zeros((10, 0)), y[part], None, "s", 1, waiting.seq, kind=LABELS
            )
            waiting = replace(waiting, y=[], kind=OBSERVE)
            said = fleet.process([one, waiting, come])
            assert len(said[1].outputs) == 10
            assert [found[0] for found in said[2].outputs] == list(said[1].outputs)
        now, late = fleet.report("now"), fleet.report("late")
    assert now["n_samples"] == late["n_samples"]
    assert now["accuracy"] == pytest.approx(late["accuracy"], abs=0.1)
    if share == "prior":
        assert now["shared_weight"] < 0.5
        assert late["shared_weight"] < 0.5


def test_knowledge_is_pooled_by_rows_or_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("loco_stream.fleet._sharing.time.monotonic", lambda: clock[0])
    schedule = PoolSchedule(100, 60.0, bounded=False)
    assert [schedule.is_due(50), schedule.is_due(49), schedule.is_due(1)] == [False, False, True]
    schedule.pooled()
    clock[0] = 59.0
    assert not schedule.is_due(99)
    clock[0] = 60.0
    assert schedule.is_due(0)
    schedule.pooled()
    clock[0] = 200.0
    assert not schedule.is_due(0)  # nothing was learned since
    grown = PoolSchedule(100, None, bounded=True)
    assert grown.is_due(10**6)
    grown.pooled()
    assert not grown.is_due(499_999)
    assert grown.is_due(1)


def test_an_operator_opens_a_fleet_that_shares(template, tmp_path):
    with Fleet(template, tmp_path, share="prior") as fleet:
        feed(fleet, range(2), 20)
    with open_fleet(tmp_path) as fleet:
        assert FleetOperations(fleet).status()["n_keys"] == 2


def test_rows_by_name_are_mixed_too(template, tmp_path):
    with Fleet(template, tmp_path, share="prior") as fleet:
        X, y = rows(1, 20)
        named = [dict(zip(NAMES, map(float, x), strict=True)) for x in X]
        by_name = fleet.learn_predict(1, named, y), fleet.predict(1, named)
        by_column = fleet.learn_predict(2, X, y, features=NAMES), fleet.predict(2, X, NAMES)
        assert [part.tolist() for part in by_name] == [part.tolist() for part in by_column]
        assert fleet.report(1) == fleet.report(2)


def learned_with_texts(n_texts, seed=0):
    draw = np.random.default_rng(seed)
    model = LOCOClassifier(hidden_sizes=(16,), seed=1)
    for i in range(320):
        model.learn_one({"speed": draw.random(), "tool": f"t{i % n_texts}"}, "ab"[i % 2])
    return model


def test_a_key_with_other_texts_learns_on_and_is_left_out_of_what_keys_share(tmp_path, caplog):
    with Fleet(learned_with_texts(5), tmp_path, share="start") as fleet:
        for key, n_texts in (("known", 5), ("other", 9)):
            fleet.learn(
                key, [{"speed": 0.1, "tool": f"t{i % n_texts}"} for i in range(40)], ["a", "b"] * 20
            )
        fleet.pool()
        assert caplog.messages[-1].endswith("the model that keys begin with has not: 1")
        assert fleet.predict("new", [{"speed": 0.1, "tool": "t1"}])[0] in {"a", "b"}
        fleet.learn("other", [{"speed": 0.2, "tool": "t8"}], ["a"])
        assert fleet.model("other").n_seen == 320 + 41
        with pytest.raises(InputError, match="the same texts"):
            fleet.merge(["known", "other"])


def test_unsuitable_settings_are_refused(template, tmp_path):
    fresh = LOCOClassifier(hidden_sizes=(16,), rule="frozen")
    flat = LOCOClassifier(hidden_sizes=(16,), advanced=AdvancedOptions(fixed_neurons=0), seed=1)
    flat.learn_array(*rows(1, 300))
    chooser = LOCOClassifier(hidden_sizes=(16,), seed=1)
    chooser.learn_array(*rows(1, 300))
    chooser.set_decision(thresholds={"worn": 0.3})
    for model, options, sentence in (
        (fresh, {"share": "prior"}, "has learned 300 rows or more"),
        (flat, {"share": "start"}, "with a fixed layer"),
        (chooser, {"share": "prior"}, "without a decision"),
        (learned_with_texts(5), {"share": "prior"}, "texts all came with its first row"),
        (template, {"share": "all"}, "`share` must be 'none', 'start' or 'prior', got 'all'"),
        (
            template,
            {"share": "start", "share_seconds": 1.0},
            "`share_seconds` needs `share` 'prior",
        ),
        (template, {"share": "prior", "share_seconds": 0.0}, "`share_seconds` must be above 0"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            Fleet(model, tmp_path / "f", **options)
    with Fleet(template, tmp_path / "g") as fleet, pytest.raises(ConfigError, match="to pool"):
        fleet.pool()
    with pytest.raises(ConfigError, match="was begun with share = 'none'"):
        Fleet(None, tmp_path / "g", share="prior")


def test_the_mixture_equals_its_definition():
    mixture = Mixture()
    own = np.array([[0.9, 0.1], [0.2, 0.8]])
    shared = np.array([[0.3, 0.7], [0.1, 0.9]])
    assert mixture.update((own, ["a", "b"]), (shared, ["b", "c"]), ["a", "c"])[1] == ["a", "b", "c"]
    first = (own[0, 0] + 0.02) / 1.06
    losses = [0.9 * -np.log(first) - np.log(0.02 / 1.06), 0.0]
    losses[1] = 0.9 * -np.log(0.02 / 1.06) - np.log(0.92 / 1.06)
    np.testing.assert_allclose(mixture.losses, losses)
    assert mixture.shared_weight == pytest.approx(1 / (1 + np.exp(losses[1] - losses[0])))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("share", ["start", "prior"])
def test_workers_share_as_one_process_does(share, tmp_path):
    pytest.importorskip("ray")
    found = []
    for workers in (0, 2):
        with Fleet(trained(), tmp_path / str(workers), workers, share=share, share_every=150) as f:
            feed(f, range(6), 40)
            X, _ = rows(50, 20)
            answers = [f.predict(key, X, NAMES).tolist() for key in (0, "new", None)]
            states = [(f.state_sha256(key), f.report(key)) for key in range(6)]
            found.append((answers, states))
    assert found[0] == found[1]


def test_keys_that_share_hold_out_the_same_rows_in_blocks_and_one_by_one(tmp_path):
    answers = []
    for name, block in (("together", 40), ("apart", 1)):
        monitor = TaskMonitor(holdout=20, share=0.2, seed=1)
        with Fleet(
            trained(), tmp_path / name, monitor=monitor, share="prior", share_every=1000
        ) as fleet:
            feed(fleet, range(3), 80, block=block)
            X, y = rows(1, 120)
            found = [
                fleet.learn_predict(1, X[at : at + block], y[at : at + block], features=NAMES)
                for at in range(80, 120, block)
            ]
            answers.append(np.concatenate(found).tolist())
            answers[-1].append(fleet.report(1)["shared_weight"])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("share", ["start", "prior"])
def test_a_key_with_another_feature_is_left_out_of_what_keys_share(share, tmp_path, caplog):
    X, y = rows(7, 60)
    wide = np.column_stack([X, X[:, 0]])
    pooled = []
    for name, odd in (("alone", []), ("beside", [(wide, (*NAMES, "e"))])):
        template = trained(rule="frozen")
        with Fleet(template, tmp_path / name, share=share, share_every=60) as fleet:
            for key, (values, names) in enumerate([(X, NAMES), *odd]):
                fleet.learn(key, values, y, features=names, source="s", epoch=1, seq=0)
            predicted = fleet.predict("new", X, NAMES)
            assert np.mean(predicted == np.array(y)) > 0.8
        files = sorted((tmp_path / name).glob("shared-*.loco"))
        pooled.append(state_sha256(*export_model(load(files[-1]))))
    assert pooled[0] == pooled[1]
    assert "features or texts that the model that keys begin with has not: 1" in caplog.text

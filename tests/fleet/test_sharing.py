"""Keys that share a pooled model: new keys gain, contradicting keys do not lose."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, TaskMonitor
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import ConfigError
from loco_stream.fleet.sharing import Mixture, blank_of
from tests.helpers.fleet_process import abandon

NAMES = ("a", "b", "c", "d")


def rows(key, n, swapped=False):
    random = np.random.default_rng(100 + key)
    X = random.normal(size=(n, 4)).astype(np.float32)
    score = X @ np.array([1.0, -1.0, 0.5, 0.2]) + 0.2 * random.normal(size=n)
    return X, np.where((score > 0) != swapped, "worn", "ok").tolist()


@pytest.fixture(scope="module")
def template():
    model = LOCOClassifier(hidden_sizes=(16,), rule="frozen", seed=1)
    model.learn_array(*rows(999, 320), NAMES)
    return model


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
        assert fleet.report(30)["share"] < 0.5
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


def test_a_fleet_continues_after_a_crash_with_the_same_mixture(template, tmp_path):
    states = []
    for name in ("whole", "crashed"):
        fleet = Fleet(template, tmp_path / name, share="prior", share_every=100, max_resident=3)
        feed(fleet, range(5), 60)
        if name == "crashed":
            abandon(fleet)
            fleet = Fleet(None, tmp_path / name, share="prior", max_resident=3)
        states.append([fleet._backend._shard.find(key).mixture.losses for key in range(5)])
        X, _ = rows(3, 20)
        states[-1].append(fleet.predict(3, X, NAMES).tolist())
        fleet.close()
    assert states[0] == states[1]


def test_rows_by_name_are_mixed_too(template, tmp_path):
    with Fleet(template, tmp_path, share="prior") as fleet:
        X, y = rows(1, 20)
        named = [dict(zip(NAMES, map(float, x), strict=True)) for x in X]
        found = fleet.learn_predict(1, named, y)
        assert np.mean(found == np.array(y)) > 0.8
        assert len(fleet.predict(1, named)) == 20


def test_unsuitable_settings_are_refused(template, tmp_path):
    fresh = LOCOClassifier(hidden_sizes=(16,), rule="frozen")
    moving = LOCOClassifier(hidden_sizes=(16,), seed=1)
    moving.learn_array(*rows(1, 300))
    for model, options, sentence in (
        (fresh, {"share": "prior"}, "has learned 300 rows or more"),
        (moving, {"share": "prior"}, "with `rule` 'frozen'"),
        (template, {"share": "all"}, "`share` must be 'none' or 'prior', got 'all'"),
        (template, {"share": "prior", "monitor": TaskMonitor()}, "excludes `monitor`"),
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
    assert mixture.update((own, ["a", "b"]), (shared, ["b", "c"]), ["a", "c"]) == ["a", "b"]
    first = (own[0, 0] + 0.02) / 1.06
    losses = [0.9 * -np.log(first) - np.log(0.02 / 1.06), 0.0]
    losses[1] = 0.9 * -np.log(0.02 / 1.06) - np.log(0.92 / 1.06)
    np.testing.assert_allclose(mixture.losses, losses)
    assert mixture.share == pytest.approx(1 / (1 + np.exp(losses[1] - losses[0])))

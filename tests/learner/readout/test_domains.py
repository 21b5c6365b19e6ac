"""Domains: found without being told, kept, left, and answered for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from loco_stream import LOCOClassifier, load, save
from loco_stream._learner.arrays.spec import Shapes, build
from loco_stream._learner.readout import domain_changes, domains
from loco_stream._learner.readout.experts import discriminant
from loco_stream.errors import CheckpointError
from loco_stream.fleet._merging import merge
from tests.helpers.jitted import jitted_module
from tests.helpers.twins import two_domains

LENGTH = 330
SIZES = {"fixed_outputs": 4, "classes": 2, "batch": 4, "domains": 16, "domain_means": 24}


def fresh(group):
    """Return a group of arrays of a fresh model of narrow rows."""
    shapes = Shapes(None, SimpleNamespace(n_fixed=0), SIZES)
    return build(group, lambda spec: spec.make(shapes))


def learned(n=720, **options):
    X, y = two_domains(n=n, **options)
    model = LOCOClassifier(seed=1)
    model.learn_array(X, y)
    return model, X, y


def found(model):
    return model._core.state.domains


def test_a_domain_is_found_and_the_first_one_is_when_it_is_back():
    X, y = two_domains(n=3 * LENGTH)
    model = LOCOClassifier(seed=1)
    visited = [0]
    for x, label in zip(X, y, strict=True):
        model.learn_one(dict(enumerate(x)), int(label))
        if found(model).counters.current != visited[-1]:
            visited.append(int(found(model).counters.current))
    assert visited == [0, 1, 0]
    assert found(model).counters.n_domains == 2
    assert sorted(found(model).positions[:2, :2].ravel()) == [1, 2, 3, 4]


def test_without_a_change_there_is_one_domain():
    model, *_ = learned(shift=0.0, length=10_000)
    assert found(model).counters.tolist() == (1, 0, 0, 0)


def test_new_classes_are_no_domain():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 200)
    X = rng.normal(size=(len(y), 12)) + 6.0 * rng.normal(size=(4, 12))[y]
    model = LOCOClassifier(seed=1)
    model.learn_array(X, y)
    assert found(model).counters.n_domains == 1


def test_inputs_that_change_without_worse_answers_are_no_domain():
    X, y = two_domains()
    X[:, 0] = 30.0 * (2 * y - 1)  # tells the classes in both
    model = LOCOClassifier(seed=1)
    model.learn_array(X, y)
    assert found(model).counters.n_domains == 1


def test_rows_of_an_earlier_domain_are_answered_as_before_the_change():
    model, X, y = learned(n=LENGTH + 300, shift=16.0)
    earlier = slice(0, LENGTH)
    anywhere = model.predict_array(X[earlier], in_stream=False) == y[earlier]
    by_evidence = model.predict_array(X[earlier]) == y[earlier]
    next_row = model.predict_array(X[earlier], in_stream=True) == y[earlier]
    assert anywhere.mean() > 0.95
    assert by_evidence.mean() > 0.95
    assert next_row.mean() < by_evidence.mean()
    recent = slice(LENGTH + 100, None)
    assert (model.predict_array(X[recent], in_stream=False) == y[recent]).mean() > 0.9


def test_a_third_domain_is_not_taken_for_the_first():
    X, y = two_domains(n=3 * LENGTH)
    third = slice(2 * LENGTH, None)
    X[third] = np.roll(X[third], 3, axis=1) + 8.0 * (-1.0) ** np.arange(12)
    model = LOCOClassifier(seed=1)
    model.learn_array(X, y)
    assert found(model).counters.n_domains == 3
    assert found(model).counters.current == 2
    for part in (slice(0, LENGTH), slice(LENGTH, 2 * LENGTH), third):
        answers = model.predict_array(X[part], in_stream=False)
        assert (answers == y[part]).mean() > 0.85


@pytest.mark.parametrize(
    ("distance", "energy", "error", "usual"),
    [
        (24, 60, 0.3, 1),
        (8, 60, 0.3, 1),
        (24, 4e3, 0.3, 1),
        (24, 60, 0.1, 1),
        (24, 60, 0.3, 9),
    ],
)
def test_a_domain_is_new_if_it_is_far_and_answers_are_worse(distance, energy, error, usual):
    changes = jitted_module(domain_changes)
    own = fresh(domains.DomainState)
    lda = fresh(discriminant.State)
    lda.total[0] = 50.0
    lda.recent.n_rows = own.recent.n_before = 16.0
    lda.recent.energy = 16.0 * energy / 50.0
    own.recent.usual_distance = usual
    own.recent.usual_error = 0.1
    own.recent.n_answers = own.recent.n_answers_before = 16.0
    own.recent.error = own.recent.error_before = 16.0 * error
    is_new = distance > 10 and energy < 1e3 and error > 0.2 and usual < 8
    assert changes._is_new(own, lda, float(distance)) == is_new


def test_what_is_usual_follows_errors_and_distances():
    changes = jitted_module(domain_changes)
    own = fresh(domains.DomainState)
    own.recent.n_answers = 16.0
    for error, distance in ((3.2, 6.0), (1.6, -2.0)):
        own.recent.error = error
        changes._learn_usual(own, distance)
    assert own.recent.usual_error == pytest.approx(0.15)
    assert own.recent.usual_distance == pytest.approx(3.0)  # a negative one counts as none
    own.recent.n_errors = 1000.0
    changes._learn_usual(own, 23.0)
    assert own.recent.usual_distance == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("lead", "distance", "domain"), [(7.0, 8.0, 0), (3.0, 8.0, -1), (7.0, 24.0, -1)]
)
def test_an_earlier_domain_is_back_if_it_fits_better_and_is_near(lead, distance, domain):
    changes = jitted_module(domain_changes)
    own = fresh(domains.DomainState)
    lda = fresh(discriminant.State)
    own.counters.n_domains = 2
    own.counters.current = 1
    own.positions[0, 0] = 1
    own.leads[0].n_rows = own.weights[0] = own.recent.n_before = lda.recent.n_rows = 16.0
    own.leads[0].lead = 16.0 * lead
    lda.total[0] = 50.0
    own.means[0, 0] = 3.0
    own.inputs[0] = 16.0 * (3.0 + np.sqrt(distance / 50.0))
    own.gains[0] = 16.0 * np.sqrt(distance / 50.0)
    assert changes._fitting_domain(own, lda, 2) == domain


def test_means_are_projected_anew_in_turn():
    changes = jitted_module(domain_changes)
    own = fresh(domains.DomainState)
    lda = fresh(discriminant.State)
    work = fresh(discriminant.Scratch)
    lda.total[0] = 7.0
    np.fill_diagonal(lda.precision, 2.0)
    own.counters.n_means = 6
    own.means[:6] = np.arange(24.0).reshape(6, 4)
    changes._renew_projections(own, lda, work)
    assert own.statistics["total"][:6].tolist() == [7.0] * 4 + [1.0] * 2
    changes._renew_projections(own, lda, work)
    np.testing.assert_allclose(own.projected[:6], 2.0 * own.means[:6])
    np.testing.assert_allclose(own.statistics["offset"][:6], 2.0 * (own.means[:6] ** 2).sum(axis=1))
    assert own.statistics["total"][:6].tolist() == [7.0] * 6
    assert own.counters.turn == 2


def test_no_more_domains_begin_than_there_are_rows_of_positions():
    model, *_ = learned(n=LENGTH)
    found(model).counters.n_domains = domains.MAX_DOMAINS
    X, y = two_domains()
    model.learn_array(X[LENGTH:], y[LENGTH:])
    assert found(model).counters.n_domains == domains.MAX_DOMAINS
    assert found(model).counters.current == 0


def test_an_earlier_domain_is_back_where_no_other_could_begin():
    X, y = two_domains(n=3 * LENGTH)
    model = LOCOClassifier(seed=1)
    model.learn_array(X[: 2 * LENGTH], y[: 2 * LENGTH])
    n_used = domains.MEANS_PER_CLASS * 2
    found(model).counters.n_means = n_used  # all in use: the second domain cannot be kept
    found(model).statistics["n_rows"][2:n_used] = 1.0
    model.learn_array(X[2 * LENGTH :], y[2 * LENGTH :])
    assert found(model).counters.current == 0
    assert found(model).counters.n_means == n_used
    assert not found(model).positions[1].any()
    for in_stream in (True, False, None):  # the domain that was left has no mean to answer by
        proba = model.predict_proba_array(X[:50], in_stream=in_stream)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)


def test_without_room_the_stream_stays_in_its_domain():
    model, *_ = learned(n=LENGTH)
    n_used = domains.MEANS_PER_CLASS * 2 - 3
    found(model).counters.n_means = n_used  # room for three means, and two domains have four
    found(model).statistics["n_rows"][:n_used] = 1.0
    X, y = two_domains()
    model.learn_array(X[LENGTH:], y[LENGTH:])
    assert found(model).counters.n_domains == 1
    assert found(model).counters.n_means == n_used


@pytest.mark.parametrize("at", [200, LENGTH + 200, LENGTH * 2 + 40])
def test_saved_models_and_blocks_continue_bit_identically(tmp_path, at):
    X, y = two_domains()
    whole = LOCOClassifier(seed=1)
    whole.learn_array(X, y)
    part = LOCOClassifier(seed=1)
    for x, label in zip(X[:at], y[:at], strict=True):
        part.learn_one(dict(enumerate(x)), int(label))
    save(part, tmp_path / "part.loco")
    part = load(tmp_path / "part.loco")
    part.learn_array(X[at:], y[at:])
    state = part.export_state()[1]
    for name, array in whole.export_state()[1].items():
        assert array.tobytes() == state[name].tobytes(), name


def test_positions_stay_with_their_classes_when_the_arrays_grow():
    model, *_ = learned(n=LENGTH + 200)
    positions = found(model).positions[:2, :2].copy()
    rng = np.random.default_rng(0)
    model.learn_array(rng.normal(size=(40, 12)), 2 + np.arange(40))
    assert found(model).positions.shape[1] > 40
    assert (found(model).positions[:2, :2] == positions).all()


def test_a_merged_model_pools_all_domains_into_one():
    X, y = two_domains()
    parts = []
    template = LOCOClassifier(seed=1)
    template.learn_array(X[:LENGTH], y[:LENGTH])
    for part in (slice(LENGTH, LENGTH + 200), slice(LENGTH + 200, None)):
        model = template.clone(include_attributes=True)
        model.learn_array(X[part], y[part])
        parts.append(model)
    assert max(found(part).counters.n_domains for part in parts) > 1
    whole = merge(parts, template)
    assert found(whole).counters.tolist() == (1, 0, 0, 0)
    assert not found(whole).positions.any()
    sums = [sums_of(part) for part in parts]
    n_rows = sum(n for n, _ in sums) - sums_of(template)[0]
    total = sum(own for _, own in sums) - sums_of(template)[1]
    pooled = whole._core.state.experts.discriminant
    assert n_rows.tolist() == np.bincount(y).tolist() == pooled.n_rows[:2].tolist()
    np.testing.assert_allclose(pooled.means[:2], total / n_rows[:, None], rtol=1e-5)
    inverse = np.linalg.inv(np.triu(pooled.precision) + np.triu(pooled.precision, 1).T)
    assert (np.linalg.eigvalsh(inverse) > 0.0).all()
    whole.learn_array(X[:50], y[:50])


def sums_of(model):
    """Return rows and sums of both classes over all domains, with the rows that wait."""
    state = model._core.state
    own = state.experts.discriminant
    n_rows = own.n_rows[:2].copy()
    sums = n_rows[:, None] * own.means[:2].astype(float)
    for k in range(int(own.n_waiting[0])):
        label = int(own.waiting_classes[k].argmax())
        n_rows[label] += 1.0
        sums[label] += own.waiting[k]
    for domain in range(int(state.domains.counters.n_domains)):
        for c in range(2):
            position = state.domains.positions[domain, c]
            if position and domain != state.domains.counters.current:
                rows = state.domains.statistics[position - 1].n_rows
                n_rows[c] += rows
                sums[c] += rows * state.domains.means[position - 1]
    return n_rows, sums


def test_models_of_different_classes_and_domains_are_merged():
    X, y = two_domains(n=LENGTH + 200)
    first = LOCOClassifier(seed=1)
    first.learn_array(X, y)
    other = LOCOClassifier(seed=1)
    other.learn_array(X[:100] + 1.0, 2 + np.arange(100) % 9)
    whole = merge([first, other])
    assert whole.classes == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert len(found(whole).means) == domains.most_means(found(whole).positions.shape[1])
    whole.learn_array(X, y)
    assert np.isfinite(whole.predict_proba_array(X[:20], in_stream=False)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own.counters.__setattr__("current", 2), "`current`"),
        (lambda own: own.counters.__setattr__("n_domains", 99), "`n_domains`"),
        (lambda own: own.counters.__setattr__("turn", 4), "`turn`"),
        (lambda own: own.positions.__setitem__((0, 0), 5), "positions"),
        (lambda own: own.statistics["n_rows"].__setitem__(1, 0.0), "rows"),
    ],
)
def test_a_file_that_would_mislead_compiled_code_is_refused(tmp_path, change, message):
    model, *_ = learned()
    change(found(model))
    save(model, tmp_path / "bad.loco")
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "bad.loco")

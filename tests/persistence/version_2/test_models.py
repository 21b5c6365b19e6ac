"""Models of format version 2, release 0.2: parameters, arrays and pending tickets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loco_stream import load
from loco_stream._learner.arrays.spec import flatten
from loco_stream._options import DEFAULTS, AdvancedOptions, ModelOptions
from loco_stream._persistence.content import Saved
from loco_stream._persistence.version_2.models import (
    MODELS,
    _used_projections,
    _without_fixed_layer,
    convert_ticket,
)
from loco_stream.errors import CheckpointError
from loco_stream.estimators import Ticket
from tests.data.golden import make_v0_2_tickets as golden
from tests.helpers.models import sort_options, untrained

FOLDER = Path(__file__).parents[2] / "data" / "golden" / "v0_2_tickets"
NAMES = [*golden.CLASSIFIERS, *golden.REGRESSORS]
PENDING = slice(golden.LEARNED, golden.LEARNED + golden.OBSERVED)
# Options that release 0.2 did not have.
NEW = ("fixed_neurons", "recent_values", "memoryless_members")
AS_IN_0_2 = ModelOptions(advanced=AdvancedOptions(fixed_neurons=0, memoryless_members=False))
AFTER = slice(golden.LEARNED + golden.OBSERVED, None)


@pytest.fixture(scope="module")
def saved():
    with np.load(FOLDER / "tickets.npz") as arrays:
        return dict(arrays)


def parameters_of_0_2(**changed):
    """Return the parameters that release 0.2 wrote for a default model."""
    given = DEFAULTS.to_dict()
    advanced = given.pop("advanced")
    for name in ("projection", "n_input_clusters", "rank", *NEW):
        del advanced[name]
    of_0_2 = {"n_input_clusters": 0, "rank": 1, "antithetic": False, "n_perturbations": 1}
    return given | advanced | of_0_2 | changed


def convert_parameters(parameters):
    """Return the parameters of a model of 0.2 after migration."""
    config = {"kind": "LOCOClassifier", "parameters": parameters}
    return MODELS(Saved("LOCOClassifier", config, {})).config["parameters"]


# Tickets


def converted_tickets(model, saved, name):
    arrays = model.export_state()[1]
    return [np.frombuffer(convert_ticket(said.tobytes(), arrays)) for said in saved[f"{name} said"]]


@pytest.mark.parametrize("name", NAMES)
def test_pending_tickets_are_learned(name, saved):
    """The former gate is gone, so later predictions are near those of release 0.2, not the same."""
    X, labels, values = golden.rows()
    model = load(FOLDER / f"{name}.loco")
    y = values if name in golden.REGRESSORS else labels
    n_seen = model.n_seen
    rows = [dict(enumerate(row)) for row in X[PENDING].tolist()]
    tickets = converted_tickets(model, saved, name)
    for x, label, predicted in zip(rows, y[PENDING], tickets, strict=True):
        model.learn_one(Ticket(x, None, None, {}, predicted.copy()), label.item())
    assert model.n_seen == n_seen + len(rows)
    assert model.skipped_updates == 0
    before = saved[f"{name} predicted"]
    if name in golden.REGRESSORS:
        found = model.predict_array(X[AFTER], in_stream=False)
        np.testing.assert_allclose(found, before, atol=0.1 * y.std())
        return
    assert model.recalled[0] == saved[f"{name} recalled"][0]
    found = model.predict_proba_array(X[AFTER])
    assert np.abs(found - before).mean() < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_a_ticket_is_as_long_as_the_ones_that_its_model_writes(name, saved):
    model = load(FOLDER / f"{name}.loco")
    X = golden.rows()[0]
    own = model.observe_one(dict(enumerate(X[0]))).predicted
    assert {len(found) for found in converted_tickets(model, saved, name)} == {len(own)}


@pytest.mark.parametrize("name", NAMES)
def test_a_ticket_loses_what_its_model_does_not_have(name, saved):
    model = load(FOLDER / f"{name}.loco")
    arrays = model.export_state()[1]
    has_scores = len(arrays["experts.logistic.weights"]) > 0
    assert has_scores == (name == "all")
    n_lags = 3 if name in golden.REGRESSORS else 0
    n_snapshots = len(arrays["snapshots.ids"])
    tickets = converted_tickets(model, saved, name)
    for said, found in zip(saved[f"{name} said"], tickets, strict=True):
        n_classes = int(said[0])
        assert found[:5].tolist() == [*said[:3], -1.0, 2.0]  # no last label; features
        assert np.isnan(found[5 : 5 + n_lags]).all()
        found = found[5 + n_lags :].tolist()
        outputs = 3 + len(arrays["context.traces"])
        scores = outputs + n_classes * len(arrays["stacks.log_weights"])
        after = scores + 2 * n_classes
        gate = after + n_snapshots * (n_classes + 1)
        # Three blocks of probabilities are unknown, where a model has a mixture.
        unknown = np.full(3 * n_classes if len(arrays["mixture.log_weights"]) else 0, -1.0)
        # The mean of the outputs stands for what two stacks and two means of a value predicted.
        values = said[outputs:scores].reshape(-1, max(n_classes, 1))
        others = np.tile(values.mean(axis=0), 4 if name in golden.REGRESSORS else 0)
        kept = [said[3:scores], others, said[scores:after]]
        kept += [said[after:gate], unknown, said[gate + 2 :]]
        if not has_scores:
            del kept[2]
        assert found == np.concatenate(kept).tolist()


def test_a_ticket_keeps_the_features_that_were_known(saved):
    """With delays its length tells how many; other features may have come since."""
    model = load(FOLDER / "context.loco")
    arrays = model.export_state()[1]
    said = saved["context said"][0].tobytes()
    before = convert_ticket(said, arrays)
    arrays["counts"][1] = 9
    assert convert_ticket(said, arrays) == before


def test_the_golden_tickets_are_of_models_with_snapshots(saved):
    """Otherwise nothing follows the scores that are left out."""
    for name in ("all", "hidden", "context", "votes"):
        assert saved[f"{name} recalled"][0] == 1


@pytest.mark.parametrize("name", ["all", "hidden"])
def test_an_empty_ticket_stays_empty(name):
    assert convert_ticket(b"", load(FOLDER / f"{name}.loco").export_state()[1]) == b""


def test_a_model_of_another_library_has_no_tickets():
    assert convert_ticket(None, {}) is None


# Parameters


def test_default_parameters_become_default_options():
    """But for the layer that never learns, which release 0.2 did not have."""
    converted = convert_parameters(parameters_of_0_2())
    assert converted == AS_IN_0_2.to_dict()
    advanced = AdvancedOptions(**converted.pop("advanced"))
    assert ModelOptions(**converted, advanced=advanced) == AS_IN_0_2


def test_input_clusters_become_a_projection():
    converted = convert_parameters(parameters_of_0_2(n_input_clusters=5, rank=2))
    advanced = converted["advanced"]
    assert advanced["projection"] == "clusters"
    assert (advanced["n_input_clusters"], advanced["rank"]) == (5, 2)
    without = convert_parameters(parameters_of_0_2(rank=2))["advanced"]
    assert without["projection"] == "recursive"
    assert (without["n_input_clusters"], without["rank"]) == (None, None)


@pytest.mark.parametrize("removed", [{"antithetic": True}, {"n_perturbations": 3}])
def test_a_model_with_a_removed_option_is_refused(removed):
    with pytest.raises(CheckpointError, match="`antithetic` or `n_perturbations`"):
        convert_parameters(parameters_of_0_2(**removed))


def test_every_parameter_of_0_2_is_converted_or_removed():
    converted = convert_parameters(parameters_of_0_2(n_input_clusters=5))
    new = {"advanced", "projection", *NEW}
    kept = {*converted, *converted["advanced"]} - new
    removed = {"antithetic", "n_perturbations"}
    assert kept | removed == set(parameters_of_0_2())


# Projections


@pytest.mark.parametrize(
    "flat",
    [
        {},
        {"rule": "np"},
        {"rule": "frozen"},
        {"orthogonality": 0.0},
        {"projection": "clusters", "n_input_clusters": 3, "rank": 2},
        {"projection": "clusters", "n_input_clusters": 3, "rule": "np"},
        {"projection": "clusters", "n_input_clusters": 3, "orthogonality": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("hidden_sizes", [(4,), (4, 3, 2)])
def test_projections_that_are_not_in_force_leave_no_arrays(flat, hidden_sizes):
    """Release 0.2 kept a projector for every model without clusters, whether it was used or not."""
    options = flat | {"hidden_sizes": hidden_sizes}
    made = flatten(untrained(2, 2, **options).model.state)
    names = [name for name in made if name.startswith("projections.")]
    full = {
        **{name: made[name] for name in made if not name.startswith("projections.")},
        **_kept_by_0_2(options),
    }
    given, advanced = sort_options(**options)
    defaults = DEFAULTS.to_dict()
    converted = {**defaults, **given, "advanced": defaults["advanced"] | advanced}
    full = _used_projections(Saved("LOCOClassifier", {"parameters": converted}, full)).arrays
    assert len(names) == 5
    for name in names:
        assert (full[name].shape, full[name].dtype) == (made[name].shape, made[name].dtype), name


def _kept_by_0_2(options):
    """Return the arrays of both projections, each as where it is in force; clusters if given."""
    sizes = {"hidden_sizes": options["hidden_sizes"]}
    clustered = {
        name: value
        for name, value in options.items()
        if name in ("projection", "n_input_clusters", "rank")
    }
    arrays = {}
    for projection in ({}, clustered):
        state = flatten(untrained(2, 2, **sizes, **projection).model.state)
        arrays |= {
            name: array.copy()
            for name, array in state.items()
            if name.startswith("projections.") and (array.size or name not in arrays)
        }
    return arrays


# Files


def test_the_model_of_a_pipeline_of_a_checkpoint_is_converted():
    other = {"monitor/counts": np.arange(3)}
    inner = {"kind": "Pipeline", "estimator": {"kind": "Pipeline", "estimator": {"kind": "Other"}}}
    kept = MODELS(Saved("checkpoint", {"model": inner}, dict(other)))
    assert (kept.config, kept.arrays) == ({"model": inner}, other)
    config = {"kind": "LOCOClassifier", "parameters": parameters_of_0_2()}
    nested = {"kind": "Pipeline", "estimator": config}
    converted = MODELS(Saved("checkpoint", {"model": nested}, dict(other)))
    assert converted.arrays == other
    assert converted.config["model"]["estimator"]["parameters"] == AS_IN_0_2.to_dict()


@pytest.mark.parametrize(
    ("width", "leaks", "expected"), [(256, None, None), (257, None, [1e-9]), (300, [0.0], [0.0])]
)
def test_wide_models_keep_the_single_leak_of_0_2(width, leaks, expected):
    parameters = {"advanced": {"leaks": leaks}}
    saved = Saved("LOCOClassifier", {"parameters": parameters, "width": width}, {})
    assert _without_fixed_layer(saved).config["parameters"]["advanced"]["leaks"] == expected

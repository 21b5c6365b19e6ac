"""Options: ranges, messages, defaults, and what is chosen from the width of the first row."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

import loco_stream
from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream import _options as options
from loco_stream._options import (
    DEFAULTS,
    PRESETS,
    WIDTH_RULES,
    AdvancedOptions,
    ModelOptions,
    width_rule,
)
from loco_stream.errors import ConfigError
from tests.helpers.models import model_options

ADVANCED = [
    ("credit", "global", "'learned', 'mirror' or 'perturbation'"),
    ("readout", None, "'recursive' or 'delta'"),
    ("readout_layers", "first", "'auto', 'all', 'hidden' or 'last'"),
    ("projection", "none", "'recursive' or 'clusters'"),
    ("cluster_size", 0, "None or an integer from 1 to 4096"),
    ("cluster_size", 2.0, "None or an integer from 1 to 4096"),
    ("n_input_clusters", 257, "None or an integer from 1 to 256"),
    ("rank", 17, "None or an integer from 1 to 16"),
    ("perturbation_std", 0.0, "a number from 1e-06 to 100"),
    ("perturbation_std", math.nan, "a number from 1e-06 to 100"),
    ("orthogonality", 1.1, "a number from 0 to 1"),
    ("receptive_fields", 0, "None or an integer from 1 to 64"),
    ("tau", 0, "None or a number from 0.001 to 1e+06"),
    ("tau_trace", "20", "None or a number from 0.001 to 1e+06"),
    ("gain", 1e4, "None or a number from 0.001 to 1000"),
    ("window", None, "a number from 0.001 to 1e+06"),
    ("leaks", (), "None, or a tuple of 1 to 16 numbers from 0 to 0.5 in ascending order"),
    ("leaks", (0.6,), "None, or a tuple of 1 to 16 numbers from 0 to 0.5 in ascending order"),
    ("leaks", 0.1, "None, or a tuple"),
    ("leaks", (1e-2, 0.0), "None, or a tuple"),
    ("leaks", (0.0, -1e-3), "None, or a tuple"),
    ("plastic", 1.1, "a number from 0 to 1"),
    ("plastic", math.nan, "a number from 0 to 1"),
    ("fixed_neurons", 4097, "None or an integer from 0 to 4096"),
    ("categorical_features", 3, "a tuple or list of distinct names"),
    ("categorical_features", ("id", "id"), "a tuple or list of distinct names"),
    ("categorical_features", (None,), "a tuple or list of distinct names"),
    ("recent_values", 17, "an integer from 0 to 16"),
    ("memoryless_members", 1, "True or False"),
    ("recent_values", None, "an integer from 0 to 16"),
    ("reset", "none", "'subtract' or 'zero'"),
    ("dt", 0.0, "None or a number from 0.001 to 1e+06"),
]
SIZES = "None, an integer from 1 to 65536, or a tuple or list of 1 to 64 of them"
WEIGHTS = "None, 'balanced', or a dict from labels to numbers from 1e-06 to 1e+06"
PUBLIC = [
    ("hidden_sizes", (), SIZES),
    ("hidden_sizes", [256, 0], SIZES),
    ("hidden_sizes", 0, SIZES),
    ("hidden_sizes", "8", SIZES),
    ("hidden_sizes", 8.0, SIZES),
    ("hidden_sizes", (0,), SIZES),
    ("hidden_sizes", (True,), SIZES),
    ("rule", "backprop", "'loco', 'np' or 'frozen'"),
    ("learning_rate", -1e-9, "None or a number from 0 to 1e+06"),
    ("learning_rate", math.inf, "None or a number from 0 to 1e+06"),
    ("memory", (5.0, 1.0), "None or a pair (shortest, longest) of numbers from 0.001 to 1e+06"),
    ("max_delay", 257, "an integer from 0 to 256"),
    ("neighbors", -1, "an integer from 0 to 1000000"),
    ("centroids", -1, "None or an integer from 0 to 100000"),
    ("categories", -1, "an integer from 0 to 1024"),
    ("categories", None, "an integer from 0 to 1024"),
    ("seed", -1, "None or an integer from 0 to 18446744073709551615"),
    ("seed", 2**64, "None or an integer from 0"),
    ("seed", 1.5, "None or an integer from 0"),
]
OF_CLASSIFIER = [
    ("class_weight", "fair", WEIGHTS),
    ("class_weight", {}, WEIGHTS),
    ("class_weight", {"fault": 0.0}, WEIGHTS),
    ("class_weight", {"fault": math.inf}, WEIGHTS),
    ("class_weight", {"fault": "10"}, WEIGHTS),
    ("class_weight", {None: 1.0}, WEIGHTS),
    ("class_weight", 5, WEIGHTS),
    ("retention", 2, "a number from 0 to 1"),
]
KINDS = {LOCOClassifier: PUBLIC + OF_CLASSIFIER, LOCORegressor: PUBLIC}
CASES = [(kind, *case) for kind, cases in KINDS.items() for case in cases]


@pytest.mark.parametrize(("field", "value", "allowed"), ADVANCED)
def test_a_value_out_of_range_of_an_advanced_option_is_refused(field, value, allowed):
    with pytest.raises(ConfigError) as caught:
        AdvancedOptions(**{field: value})
    text = str(caught.value)
    assert text.startswith(f"`{field}` must be {allowed}")
    assert text.endswith(f", got {value!r}")


@pytest.mark.parametrize(("kind", "field", "value", "allowed"), CASES)
def test_a_value_out_of_range_of_a_parameter_is_refused(kind, field, value, allowed):
    with pytest.raises(ConfigError) as caught:
        kind(**{field: value})
    text = str(caught.value)
    assert text.startswith(f"`{field}` must be {allowed}")
    assert text.endswith(f", got {value!r}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_value_is_cut_in_the_message(kind):
    with pytest.raises(ConfigError, match=r"`seed` must be .*, got 10{56}\.\.\.$"):
        kind(seed=10**400)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_neuron_is_refused(kind):
    with pytest.raises(ConfigError, match=r"neuron.*'lif', 'alif'"):
        kind(neuron="hh")


def test_every_option_has_a_case():
    assert {field for field, *_ in ADVANCED} == {f.name for f in fields(AdvancedOptions)}
    for kind, cases in KINDS.items():
        assert {field for field, *_ in cases} == set(kind._parameters) - {"neuron", "advanced"}


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        (
            {"n_input_clusters": 3},
            "`n_input_clusters` must be None unless `projection` is 'clusters', got 3",
        ),
        ({"rank": 2}, "`rank` must be None unless `projection` is 'clusters', got 2"),
        (
            {"projection": "clusters", "max_delay": 2},
            "`max_delay` must be 0 with `projection` 'clusters', got 2",
        ),
        ({"readout": "delta", "neighbors": 5}, "`neighbors` must be 0 with `readout` 'delta'"),
        ({"readout": "delta", "centroids": 5}, "`centroids` must be 0 with `readout` 'delta'"),
    ],
)
def test_options_that_exclude_each_other_are_refused(flat, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        model_options(**flat)


def test_options_are_frozen_and_what_the_caller_may_change_is_copied():
    weights = {"fault": 2.0}
    checked = ModelOptions(class_weight=weights)
    weights["fault"] = 9.0
    assert checked.class_weight == {"fault": 2.0}
    names = ["id"]
    advanced = AdvancedOptions(categorical_features=names)
    names.append("zip")
    assert advanced == AdvancedOptions(categorical_features="id")
    with pytest.raises(FrozenInstanceError):
        checked.seed = 3
    with pytest.raises(FrozenInstanceError):
        checked.advanced.credit = "learned"
    with pytest.raises(ConfigError):
        replace(checked, seed=-1)  # a changed copy is checked too


def test_advanced_options_show_what_was_changed():
    assert repr(AdvancedOptions()) == "AdvancedOptions()"
    changed = AdvancedOptions(orthogonality=0.5, credit="learned")
    assert repr(changed) == "AdvancedOptions(credit='learned', orthogonality=0.5)"


def test_presets_are_parameters():
    for values in PRESETS.values():
        assert ModelOptions(**values)


# The width of the first row


@pytest.mark.parametrize(
    ("n_features", "neurons", "n_fields", "readout_layers", "n_centroids"),
    [
        (1, 128, 9, "all", 300),
        (32, 128, 9, "all", 300),
        (33, 256, 9, "all", 300),
        (64, 256, 9, "all", 300),
        (65, 256, 3, "all", 300),
        (256, 256, 3, "all", 300),
        (257, 640, 1, "hidden", 0),
        (10_000, 640, 1, "hidden", 0),
    ],
)
def test_the_layout_follows_the_width_of_the_first_row(
    n_features, neurons, n_fields, readout_layers, n_centroids
):
    layout = DEFAULTS.layout_for(n_features)
    assert layout.hidden_sizes == (neurons,)
    assert layout.n_fields == n_fields
    assert layout.readout_layers == readout_layers
    assert layout.n_centroids == n_centroids
    assert len(layout.leaks) == (3 if n_features <= 256 else 2)
    assert layout.n_skip == min(n_features, 3 * layout.n_fixed)


@pytest.mark.parametrize("n_features", [1, 50, 300])
def test_given_options_take_precedence_over_the_width(n_features):
    given = model_options(
        hidden_sizes=[8, 4],
        receptive_fields=5,
        readout_layers="last",
        leaks=[0.0, 0.2],
        cluster_size=7,
        centroids=11,
    )
    layout = given.layout_for(n_features)
    assert layout == ((8, 4), (0.0, 0.2), 5, "last", 7, 11, 0, max(n_features, 256), 0)


def test_rows_are_one_block_of_the_projector_up_to_a_bound_and_features_stay_together():
    for n_features, block in ((32, 288), (33, 108), (97, 111), (300, 112)):
        layout = DEFAULTS.layout_for(n_features)
        assert layout.block == block
        assert block == 288 or block % layout.n_fields == 0


def test_width_rules_are_ascending_and_the_last_takes_any_width():
    widths = [rule.most_features for rule in WIDTH_RULES]
    assert widths[:-1] == sorted(widths[:-1])
    assert widths[-1] is None
    for rule in WIDTH_RULES[:-1]:
        assert width_rule(rule.most_features) is rule
        assert width_rule(rule.most_features + 1) is not rule


def test_width_rules_are_the_only_place_with_their_numbers(monkeypatch):
    """Other rules give other models: no module has numbers of its own."""
    own = options.WidthRule(None, 5, 2, (0.0, 0.1), False, 7)
    monkeypatch.setattr(options, "WIDTH_RULES", (own,))
    for make in (LOCOClassifier, LOCORegressor):
        for n_features in (3, 300):
            model = make(seed=1)
            model.learn_one({f"f{i}": float(i) for i in range(n_features)}, 1.0)
            core = model._core
            assert core.layout.hidden_sizes == (5,)
            assert core.layout.leaks == (0.0, 0.1)
            assert core.settings.n_fields == 2
            assert not core.settings.raw_inputs
            assert core.settings.n_centroids == 0
            assert len(core.state.net.weights) == 2 * n_features


def test_no_other_module_of_the_learner_compares_a_width_with_a_number():
    folder = Path(loco_stream.__file__).parent
    bounds = "|".join(str(r.most_features) for r in WIDTH_RULES if r.most_features)
    compared = re.compile(rf"(n_features|width)\b[^\n]*[<>]=?\s*({bounds})\b")
    found = [
        f"{path.relative_to(folder)}: {line.strip()}"
        for part in ("_learner", "estimators", "_cli")
        for path in (folder / part).rglob("*.py")
        for line in path.read_text().splitlines()
        if compared.search(line)
    ]
    assert found == []


DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.skipif(not DOCS.is_dir(), reason="not run from a checkout")
def test_the_texts_have_the_numbers_of_the_width_rules():
    page = (DOCS / "parameters.md").read_text()
    row = r"^\| (?:up to |\d+ to )?(\w+) \| (\d+) \| (\d) \| (\d+) \|$"
    rules = [(r.most_features or "more", r.neurons, r.fields, r.fixed) for r in WIDTH_RULES]
    assert re.findall(row, page, re.M) == [tuple(map(str, rule)) for rule in rules]
    sizes = sorted({rule.neurons for rule in WIDTH_RULES})
    choice = f"{', '.join(map(str, sizes[:-1]))} or {sizes[-1]} neurons, by the number of features"
    assert choice in (DOCS / "cli.md").read_text()  # made from the help
    page = re.sub(r"\s+", " ", (DOCS / "modes.md").read_text())
    assert f"{WIDTH_RULES[0].fixed} to {WIDTH_RULES[-1].fixed} neurons" in page

"""River pipelines that end in an estimator: files, checkpoints and logs continue identically."""

import random
import shutil

import pytest
from river import compose, datasets, ensemble, naive_bayes, preprocessing, utils

from loco_stream import (
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCORegressor,
    StreamEngine,
    load,
    save,
)
from loco_stream._persistence import format as persist
from loco_stream.engine._state import export_model
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.estimators._pipeline import STEPS, export_pipeline, restore_pipeline
from loco_stream.stream import Sink
from tests.helpers.tables import colours


def estimator(kind=LOCOClassifier):
    return kind(hidden_sizes=8, seed=1)


def numbers():
    return compose.Select("size", "weight")


def branched(kind=LOCOClassifier):
    """Return a pipeline with most kinds of steps: texts on one branch, numbers on others."""
    texts = compose.Select("colour") | preprocessing.OneHotEncoder()
    hashed = compose.SelectType(str) | preprocessing.FeatureHasher(n_features=4, seed=3)
    scaled = [
        numbers() | preprocessing.StandardScaler(),
        numbers() | preprocessing.MinMaxScaler() | compose.Prefixer("m "),
        compose.Discard("colour") | preprocessing.MaxAbsScaler() | compose.Suffixer(" a"),
        numbers() | preprocessing.Normalizer(order=1) | compose.Prefixer("n "),
    ]
    return compose.Pipeline(compose.TransformerUnion(texts, hashed, *scaled), estimator(kind))


PIPELINES = {
    "scaled": lambda: compose.Discard("colour") | preprocessing.StandardScaler() | estimator(),
    "without std": lambda: (
        compose.Discard("colour") | preprocessing.StandardScaler(with_std=False) | estimator()
    ),
    "branched": branched,
    "one-hot": lambda: (
        compose.Select("colour") | preprocessing.OneHotEncoder(drop_first=True) | estimator()
    ),
    "any seed": lambda: preprocessing.FeatureHasher(n_features=6) | estimator(),
    "alone": lambda: compose.Pipeline(("only", estimator())),
}


def stream(n=120):
    draws = random.Random(5)
    return [
        ({**x, "weight": draws.randrange(1, 9)}, y)
        for x, y in colours(n, names=("red", "green", "blue", "grey"))
    ]


def learned(model, rows):
    for x, y in rows:
        model.learn_one(x, y)
    return model


def digest(model):
    config, arrays = export_pipeline(model)
    return persist.digest("state", config, arrays)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_saved_pipeline_continues_identically(tmp_path, name):
    rows = stream()
    model = learned(PIPELINES[name](), rows[:70])
    save(model, tmp_path / "pipeline.loco")
    again = load(tmp_path / "pipeline.loco")
    assert list(again.steps) == list(model.steps)
    for x, y in rows[70:]:
        assert again.predict_proba_one(x) == model.predict_proba_one(x)
        again.learn_one(x, y)
        model.learn_one(x, y)
    assert digest(again) == digest(model)


def test_a_pipeline_of_a_regressor(tmp_path):
    model = preprocessing.StandardScaler() | estimator(LOCORegressor)
    rows = list(datasets.TrumpApproval().take(100))
    learned(model, rows[:50])
    save(model, tmp_path / "pipeline.loco")
    again = load(tmp_path / "pipeline.loco")
    assert digest(learned(again, rows[50:])) == digest(learned(model, rows[50:]))
    report = StreamEngine(
        preprocessing.StandardScaler() | estimator(LOCORegressor), datasets.TrumpApproval()
    ).run(50)
    assert report["task"] == "regression"


def test_the_engine_resumes_a_pipeline_identically(tmp_path):
    rows = stream()
    straight = branched()
    whole = StreamEngine(straight, rows).run()
    StreamEngine(branched(), rows, checkpoint=tmp_path / "state", checkpoint_every=30).run(77)
    engine = StreamEngine(branched(), rows, checkpoint=tmp_path / "state", resume=True)
    assert engine.run()["accuracy"] == whole["accuracy"]
    assert digest(engine.model) == digest(straight)
    assert whole["seed"] == 1
    saved = max((tmp_path / "state").glob("checkpoint-*.loco"))
    assert digest(load(saved)) == digest(straight)
    other = StreamEngine(PIPELINES["scaled"](), rows, checkpoint=tmp_path / "state", resume=True)
    with pytest.raises(
        CheckpointError, match=r"holds TransformerUnion .* this engine runs Discard"
    ):
        other.run()


class Kill(Sink):
    """A sink that copies the checkpoint folder as a kill at one row would leave it."""

    def __init__(self, folder, copy, row):
        self.folder = folder
        self.copy = copy
        self.row = row

    def write(self, prediction):
        if prediction.seq == self.row:
            shutil.copytree(self.folder, self.copy)

    def close(self, report):
        pass


@pytest.mark.parametrize(
    "make", [branched, lambda: LOCOClassifier(hidden_sizes=8, seed=1, categories=3)]
)
def test_a_killed_run_is_replayed_from_its_log_identically(tmp_path, make):
    rows = stream()
    options = {"durability": "batch", "checkpoint_every": 50}
    kill = Kill(tmp_path / "state", tmp_path / "killed", 83)
    straight = StreamEngine(make(), rows, sinks=[kill], checkpoint=tmp_path / "state", **options)
    straight.run()
    engine = StreamEngine(
        make(), rows, sinks=[], checkpoint=tmp_path / "killed", resume=True, **options
    )
    assert engine.run()["n_samples"] == len(rows)
    (config, arrays), (again, copies) = export_model(straight.model), export_model(engine.model)
    assert persist.digest("state", config, arrays) == persist.digest("state", again, copies)


def refused():
    yield "RobustScaler", preprocessing.RobustScaler() | estimator()
    yield "FuncTransformer", compose.FuncTransformer(dict) | estimator()
    yield (
        "OrdinalEncoder",
        (compose.Select("a") | preprocessing.OrdinalEncoder()) + compose.Discard("a") | estimator(),
    )
    yield "window_size", preprocessing.StandardScaler(window_size=3) | estimator()
    yield "categories", preprocessing.OneHotEncoder(categories={"a": {"b"}}) | estimator()
    yield "`types` of a stored SelectType must be among", compose.SelectType(dict) | estimator()


@pytest.mark.parametrize(("name", "model"), [*refused()])
def test_a_step_that_cannot_be_stored_is_named(tmp_path, name, model):
    with pytest.raises(ConfigError, match=name) as caught:
        save(model, tmp_path / "pipeline.loco")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=name):
        StreamEngine(model, stream(), checkpoint=tmp_path / "state").run()


def test_a_class_of_the_same_name_from_elsewhere_is_refused(tmp_path):
    other = type("StandardScaler", (preprocessing.StandardScaler,), {"__module__": "elsewhere"})()
    with pytest.raises(ConfigError, match=r"must be river's .*, got elsewhere\.StandardScaler"):
        save(other | estimator(), tmp_path / "pipeline.loco")


def test_other_models_are_refused(tmp_path):
    model = preprocessing.StandardScaler() | naive_bayes.GaussianNB()
    with pytest.raises(
        InputError,
        match=r"`model` must be .* that ends in one, got a pipeline that ends in GaussianNB$",
    ):
        save(model, tmp_path / "pipeline.loco")
    with pytest.raises(ConfigError, match="run it without checkpoint"):
        StreamEngine(model, stream(), checkpoint=tmp_path / "state").run()


@pytest.mark.parametrize(
    "damage",
    [
        lambda config: config["steps"][0][1].update(kind="Popen"),
        lambda config: config["steps"][0][1].pop("learned"),
        lambda config: config["steps"][0][1].update(parameters={}),
        lambda config: config["steps"][1][1]["learned"].update(means=[["size", "much"]]),
        lambda config: config["estimator"].update(kind="Pipeline"),
        lambda config: config.update(steps=3),
    ],
)
def test_a_damaged_pipeline_is_refused(damage):
    config, arrays = export_pipeline(
        learned(compose.Prefixer("a") | preprocessing.StandardScaler() | estimator(), [])
    )
    damage(config)
    with pytest.raises(CheckpointError):
        restore_pipeline(config, arrays)


def test_every_step_is_tested():
    def kinds(step):
        inner = getattr(step, "steps", None) or getattr(step, "transformers", {})
        return {type(step).__name__}.union(*(kinds(part) for part in inner.values()))

    assert set(STEPS) <= set().union(*(kinds(make()) for make in PIPELINES.values()))


@pytest.mark.parametrize("sizes", [[8, 16], [[8], [8, 4]]])
def test_hidden_sizes_in_a_parameter_grid_of_river(sizes):
    grid = {"LOCOClassifier": {"hidden_sizes": sizes, "seed": [1]}}
    models = utils.expand_param_grid(preprocessing.StandardScaler() | estimator(), grid)
    assert [model["LOCOClassifier"].hidden_sizes for model in models] == sizes
    alone = utils.expand_param_grid(estimator(), {"hidden_sizes": sizes})
    assert [model.hidden_sizes for model in alone] == sizes


def test_a_pipeline_of_a_detector_or_a_forecaster(tmp_path):
    path = tmp_path / "pipeline.loco"
    rows = [{"a": float(i % 7)} for i in range(150)]
    detector = preprocessing.StandardScaler() | LOCODetector(seed=1)
    for x in rows[:120]:
        detector.learn_one(x)
    save(detector, path)
    again = load(path)
    for x in [*rows[120:], {"a": 50.0}]:
        assert again.score_one(x) == detector.score_one(x)
        again.learn_one(x)
        detector.learn_one(x)
    assert digest(again) == digest(detector)
    forecaster = preprocessing.StandardScaler() | LOCOForecaster(hidden_sizes=8, heads=3, seed=1)
    for x in rows:
        forecaster.learn_one(x, x["a"])
    save(forecaster, path)
    assert load(path).forecast(5, rows[:5]) == forecaster.forecast(5, rows[:5])


def nested(kind, **options):
    return kind(estimator(LOCORegressor), **options)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (nested(preprocessing.TargetStandardScaler), "got TargetStandardScaler; save the"),
        (
            preprocessing.StandardScaler() | nested(preprocessing.TargetStandardScaler),
            "got a pipeline that ends in TargetStandardScaler; save the",
        ),
        (ensemble.BaggingClassifier(estimator(), n_models=2), "got BaggingClassifier; save the"),
    ],
)
def test_what_wraps_an_estimator_is_named_when_it_cannot_be_saved(tmp_path, model, named):
    with pytest.raises(InputError, match=named):
        save(model, tmp_path / "model.loco")

"""Texts as inputs: their slots and their bound; rows, blocks and files are bit-identical."""

import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor, load, save
from loco_stream._options import MAX_CATEGORIES
from loco_stream._persistence.format import to_bytes
from loco_stream.errors import CheckpointError
from loco_stream.estimators._inputs.categories import MAX_LENGTH, RESERVES
from tests.helpers.engine_process import SOAK
from tests.helpers.tables import colours

COLOURS = ("red", "green", "blue")


def small(**options):
    return LOCOClassifier(**{"hidden_sizes": 16, "seed": 1, **options})


def small_regressor(**options):
    return LOCORegressor(**{"hidden_sizes": 16, "seed": 1, **options})


def state_of(estimator):
    config, arrays = estimator.export_state()
    return config, {name: array.tobytes() for name, array in arrays.items()}


def learned(estimator, stream):
    for x, y in stream:
        estimator.learn_one(x, y)
    return estimator


def hits(estimator, stream, skip):
    """Return the number of correct predictions after the first rows."""
    correct = 0
    for i, (x, y) in enumerate(stream):
        correct += i >= skip and estimator.predict_one(x) == y
        estimator.learn_one(x, y)
    return correct


def test_a_label_that_depends_on_colour_and_number_is_learned():
    assert hits(LOCOClassifier(seed=1), colours(1500), 500) >= 0.96 * 1000
    assert hits(LOCOClassifier(seed=1, categories=0), colours(1500), 500) < 0.9 * 1000


def test_a_regressor_learns_from_texts():
    estimator = LOCORegressor(seed=1)
    for x, _ in colours(600):
        estimator.learn_one(x, float(COLOURS.index(x["colour"])))
    assert [round(estimator.predict_one({"colour": c, "size": 0.0})) for c in COLOURS] == [0, 1, 2]


def test_the_order_of_a_row_does_not_matter():
    straight = learned(small(), colours(50))
    reversed_rows = learned(small(), ((dict(reversed(x.items())), y) for x, y in colours(50)))
    two = [{"b": "x", "a": "y"}, {"a": "y", "b": "x"}]
    assert state_of(straight) == state_of(reversed_rows)
    assert state_of(learned(small(), [(two[0], 1)])) == state_of(learned(small(), [(two[1], 1)]))


def test_predictions_register_nothing():
    estimator = learned(small(), colours(20))
    before = state_of(estimator)
    known = estimator.predict_proba_one({"size": 0.3})
    assert estimator.predict_proba_one({"size": 0.3, "colour": "mauve", "shape": "round"}) == known
    estimator.predict_array([["mauve", 0.1]], features=["colour", "size"])
    assert state_of(estimator) == before


def codes(n):
    """Return the number of a machine, a missing one now and then, and a label of its own kind."""
    draw = random.Random(3)
    rows = []
    for i in range(n):
        machine = draw.choice([7, 8.0, np.int64(19), 105.5, None, float("nan")])
        rows.append(({"machine": machine, "load": draw.random()}, str(machine)[0] if i else "7"))
    return rows


def as_texts(rows):
    spelled = {7: "7", 8.0: "8", 19: "19", 105.5: "105.5"}
    return [({**x, "machine": spelled.get(x["machine"], x["machine"])}, label) for x, label in rows]


CODED = AdvancedOptions(categorical_features=("machine",))


def test_numbers_of_a_categorical_feature_are_texts():
    rows = codes(60)
    named = learned(small(advanced=CODED), rows)
    _, arrays = state_of(named)
    assert arrays == state_of(learned(small(), as_texts(rows)))[1]
    assert named.categories_["machine"]["distinct"] == 4
    x = {"machine": 19, "load": 0.5}
    assert named.predict_proba_one(x) == named.predict_proba_one({**x, "machine": "19"})


def test_arrays_frames_and_files_know_categorical_features(tmp_path):
    rows = codes(60)
    labels = [label for _, label in rows]
    X = [[x["machine"], x["load"]] for x, _ in rows]
    by_name = learned(small(advanced=CODED), rows)
    expected = state_of(by_name)
    from_array = small(advanced=CODED)
    from_array.learn_array(np.array(X, float), labels, features=("machine", "load"))
    mixed = small(advanced=CODED)
    mixed.learn_array([*X[:-1], ["7", X[-1][1]]], labels, features=("machine", "load"))
    save(from_array, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert state_of(from_array) == state_of(loaded) == expected
    assert mixed.categories_ == by_name.categories_
    X = np.array(X, float)
    answers = [by_name.predict_one(x) for x, _ in rows]
    assert loaded.predict_array(X, features=("machine", "load")).tolist() == answers
    ticket = loaded.observe_one({"machine": 19, "load": 0.5})
    loaded.learn_one(ticket, "1")
    assert loaded.categories_["machine"]["distinct"] == 4


def test_texts_beyond_the_bound_share_slots_and_are_counted():
    ids = [f"id {i}" for i in range(40)]
    estimator = learned(
        small(categories=8), [({"id": text}, "ab"[i % 2]) for i, text in enumerate(ids)]
    )
    assert estimator.categories_ == {"id": {"distinct": 8, "bound": 8, "shared": 32}}
    assert estimator.n_features_in == 1
    assert estimator.masked_values == 0
    again = learned(
        small(categories=8), [({"id": text}, "ab"[i % 2]) for i, text in enumerate(ids)]
    )
    # the checksum of a text is the same in every process
    assert state_of(again) == state_of(estimator)


def test_texts_of_held_out_rows_are_not_counted():
    estimator = small(categories=1)
    table = np.array([["a"], ["b"], ["c"]], object)
    estimator.learn_predict_array(table, [0, 1, 0], ["id"], held_out=[2])
    assert estimator.categories_ == {"id": {"distinct": 1, "bound": 1, "shared": 1}}


def test_values_that_share_slots_are_saved_in_the_order_of_features():
    table = np.array([["a", "a"], ["b", "b"], ["a", "c"], ["c", "a"]], object)
    by_block = small(categories=2)
    by_block.learn_array(table, [0, 1, 0, 1], ["machine", "part"])
    rows = [dict(zip(("machine", "part"), row, strict=True)) for row in table.tolist()]
    by_name = learned(small(categories=2), zip(rows, [0, 1, 0, 1], strict=True))
    saved = by_name.export_state()[0]["shared"]  # the texts of part came first
    assert list(saved.items()) == [("machine", 1), ("part", 1)]
    assert to_bytes("model", *by_name.export_state()) == to_bytes("model", *by_block.export_state())


def test_without_categories_texts_are_masked():
    worded = small(categories=0)
    missing = small(categories=0)
    for x, y in colours(30):
        worded.learn_one(x, y)
        missing.learn_one({**x, "colour": None}, y)
    assert state_of(worded) == state_of(missing)
    assert worded.masked_values == 30
    assert worded.categories_ == {}


def test_without_categories_no_text_of_a_block_shares_a_slot():
    rows = [("red", 1.0), ("green", 2.0), ("", 3.0)]
    single, block = small(categories=0), small(categories=0)
    for colour, size in rows:
        single.learn_one({"colour": colour, "size": size}, 1)
    block.learn_array(np.array(rows, object), [1, 1, 1], features=("colour", "size"))
    assert block.categories_ == {}
    assert state_of(single) == state_of(block)


def test_texts_are_not_masked_and_missing_values_beside_them_are():
    estimator = small()
    estimator.learn_one({"a": "red", "b": 1.0, "c": None}, 0)
    estimator.learn_one({"a": "", "b": "n/a", "c": 2.0}, 1)
    estimator.learn_one({"a": 3.0, "b": float("nan"), "c": "n/a"}, 1)
    assert estimator.masked_values == 3
    assert set(estimator.categories_) == {"a", "b", "c"}


def table(n, seed=0):
    draws = random.Random(seed)
    X = [
        [
            draws.choice(("a", "b", None, "c", 1.5, f"id {draws.randrange(30)}")),
            draws.gauss(0, 1),
            draws.choice(("x", "y", "")),
        ]
        for _ in range(n)
    ]
    return X, [draws.choice(("in", "out")) for _ in range(n)]


@pytest.mark.parametrize("make", [small, small_regressor])
@pytest.mark.parametrize("bound", [5, 64])
def test_blocks_equal_rows_one_by_one(make, bound):
    X, y = table(300)
    single, block, blocks = (make(categories=bound) for _ in range(3))
    y = y if make is small else [float(label == "in") for label in y]
    predicted = []
    for row, label in zip(X, y, strict=True):
        predicted.append(single.predict_one(dict(enumerate(row))))
        single.learn_one(dict(enumerate(row)), label)
    of_block = block.learn_predict_array(np.array(X, object), y)
    for begin in range(0, 300, 70):
        blocks.learn_array(X[begin : begin + 70], y[begin : begin + 70], features=[0, 1, 2])
    assert of_block.tolist() == predicted
    assert state_of(single) == state_of(block) == state_of(blocks)
    assert block.predict_array(X[:50]).tolist() == [
        block.predict_one(dict(enumerate(row))) for row in X[:50]
    ]


def test_frames_equal_rows_by_name():
    pandas = pytest.importorskip("pandas")
    stream = list(colours(80))
    frame = pandas.DataFrame([x for x, _ in stream])
    labels = pandas.Series([y for _, y in stream])
    kept = frame.assign(colour=frame["colour"].astype("category"))
    single, many, categorical = (small() for _ in range(3))
    learned(single, stream)
    many.learn_many(frame, labels)
    categorical.learn_many(kept, labels)
    assert state_of(single) == state_of(many) == state_of(categorical)
    assert many.predict_many(frame).tolist() == [single.predict_one(x) for x, _ in stream]


@pytest.mark.parametrize("bound", [2, 64])
def test_files_and_pickles_continue_identically(tmp_path, bound):
    stream = list(colours(120, names=("red", "green", "blue", "grey")))
    straight = learned(small(categories=bound), stream)
    half = learned(small(categories=bound), stream[:60])
    save(half, tmp_path / "model.loco")
    for copy in (load(tmp_path / "model.loco"), pickle.loads(pickle.dumps(half)), half):
        assert state_of(learned(copy, stream[60:])) == state_of(straight)


def test_damaged_categories_are_refused():
    config, arrays = learned(small(), colours(20)).export_state()
    texts = config["texts"]
    for damaged in (
        ["colour", 3, 2],
        ["colour", "mauve", 10**6],
        ["colour", "mauve", 1.5],
        ["shape", "round", 2],
        ["colour", "mauve", -1],
        ["colour", texts[1][1], 2],
        ["colour", "mauve"],
        "colour",
    ):
        with pytest.raises(CheckpointError):
            LOCOClassifier.from_state({**config, "texts": [damaged, *texts[1:]]}, arrays)
    with pytest.raises(CheckpointError):
        LOCOClassifier.from_state(
            {**config, "parameters": {**config["parameters"], "categories": 2}}, arrays
        )


def test_unusual_texts_are_kept_in_files(tmp_path):
    unusual = ["\ud800", "x" * 5000, "x" * 5001, "Größe", np.str_("red"), "red", "3", " "]
    estimator = learned(small(), [({"a": text}, i % 2) for i, text in enumerate(unusual)])
    # Long texts are known by their beginning, and "red" came twice.
    assert estimator.categories_["a"]["distinct"] == 6
    assert max(len(text) for _, text, _ in estimator.export_state()[0]["texts"]) == MAX_LENGTH
    save(estimator, tmp_path / "unusual.loco")
    assert state_of(load(tmp_path / "unusual.loco")) == state_of(estimator)


def test_all_features_together_are_bounded():
    estimator = small(categories=MAX_CATEGORIES)
    for i in range(30):
        estimator.learn_one({f"f{j}": f"t{i}" for j in range(100)}, i % 2)
    assert sum(each["distinct"] for each in estimator.categories_.values()) == MAX_CATEGORIES
    assert estimator.n_features_in == 100


def test_ids_leave_slots_to_other_features():
    estimator = small(categories=MAX_CATEGORIES)
    (_, left_by_many), (few, left_by_few) = RESERVES
    for i in range(MAX_CATEGORIES + 100):
        estimator.learn_one({"id": f"id{i}", "size": i % 7}, i % 2)
    assert estimator.categories_["id"]["distinct"] == MAX_CATEGORIES - left_by_many
    for i in range(300):
        estimator.learn_one({"id": f"id{i}", "late": f"t{i}"}, i % 2)
    assert estimator.categories_["late"]["distinct"] == left_by_many - left_by_few
    for i in range(300):
        estimator.learn_one({"id": f"id{i}", "last": f"t{i}"}, i % 2)
    found = estimator.categories_
    assert found["last"]["distinct"] == few
    assert found["id"]["shared"] > 0


def test_the_last_256_slots_are_left_to_other_features():
    """As `docs/inputs.md` and the parameter `categories` say, with 64 of them for few texts."""
    estimator = small(categories=MAX_CATEGORIES, hidden_sizes=4)
    for name in ("id", "late", "last"):
        texts = [[f"{name} {i}"] for i in range(MAX_CATEGORIES)]
        estimator.learn_array(np.array(texts, object), [0] * len(texts), features=[name])
    found = estimator.categories_
    assert [each["distinct"] for each in found.values()] == [768, 192, 16]


def test_texts_of_a_feature_for_which_no_slot_is_left_are_counted():
    estimator = small()
    for i in range(MAX_CATEGORIES):
        estimator.learn_one({f"f{j}": f"t{i}" for j in range(100)}, i % 2)
        if sum(each["distinct"] for each in estimator.categories_.values()) == MAX_CATEGORIES:
            break
    before = estimator.masked_values
    estimator.learn_one({"late": "good"}, 1)
    assert estimator.categories_["late"] == {"distinct": 0, "bound": 512, "shared": 1}
    estimator.learn_array(np.array([["bad"], ["good"]], object), [0, 1], features=["late"])
    assert estimator.categories_["late"]["shared"] == 3
    assert estimator.masked_values > before
    again = LOCOClassifier.from_state(*estimator.export_state())
    assert again.categories_ == estimator.categories_


def test_a_column_of_ids_leaves_room_for_two_hundred_texts_that_come_later():
    estimator = small()
    for i in range(1000):
        estimator.learn_one({"order": f"o{i}"}, i % 2)
    for i in range(400):
        estimator.learn_one({"order": f"o{i}", "product": f"p{i % 200}"}, i % 2)
    assert estimator.categories_["product"]["distinct"] == 200


def test_a_label_that_depends_on_two_hundred_ids_is_learned():
    draw = random.Random(0)
    labels = [draw.random() < 0.5 for _ in range(200)]
    ids = [draw.randrange(200) for _ in range(4000)]
    hits = {}
    for bound in (64, 256):
        model = LOCOClassifier(seed=1, categories=bound)
        predicted = model.learn_predict_array([[f"id{i}"] for i in ids], [labels[i] for i in ids])
        hits[bound] = np.mean([predicted[k] == labels[ids[k]] for k in range(3000, 4000)])
    assert hits[64] < 0.8
    assert hits[256] > 0.95


@pytest.mark.parametrize("n_texts", [64, 256, 700])
def test_a_text_takes_about_ten_kilobytes(n_texts):
    """As `docs/inputs.md` and `docs/sizing.md` say."""
    sizes = []
    for bound in (8, n_texts):
        model = LOCOClassifier(seed=1, categories=bound)
        for i in range(n_texts + 40):
            model.learn_one({"id": f"id{i}", "size": float(i % 7)}, i % 2)
        sizes.append(sum(array.nbytes for array in model.export_state()[1].values()))
    assert 6e3 < (sizes[1] - sizes[0]) / (n_texts - 8) < 16e3
    assert sizes[1] < 20e6


def test_a_column_may_hold_numbers_and_texts():
    estimator = small()
    for i in range(200):
        x = {"code": "broken"} if i % 4 == 0 else {"code": float(i % 3)}
        estimator.learn_one(x, "bad" if i % 4 == 0 else "good")
    assert estimator.predict_one({"code": "broken"}) == "bad"
    assert estimator.predict_one({"code": 1.0}) == "good"


def calls_of(work):
    """Return the number of calls of Python functions during some work."""
    n = 0

    def count(_frame, event, _argument):
        nonlocal n
        n += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return n


@pytest.mark.parametrize("form", ["rows", "array"])
@pytest.mark.parametrize("bound", [64, 256])
def test_each_new_text_costs_as_much_as_the_one_before(form, bound):
    """None of the 2,000 needs a pass over all texts so far."""
    model = LOCOClassifier(hidden_sizes=(4,), seed=1, categories=bound)
    costs = []
    widths = []

    def learn(begin, end):
        if form == "array":
            model.learn_array(
                [[f"id {i}", i % 7] for i in range(begin, end)], [i % 2 for i in range(begin, end)]
            )
        else:
            for i in range(begin, end):
                model.predict_one({0: f"id {i}", 1: i % 7})
                model.learn_one({0: f"id {i}", 1: i % 7}, i % 2)

    learn(0, 100)  # which also compiles
    for begin in range(100, 2000, 100):
        costs.append(calls_of(lambda begin=begin: learn(begin, begin + 100)))
        widths.append(model._core.row.shape[1])
    assert max(costs) <= 1.2 * costs[0] + 100
    # The cost of a row in compiled code stays the same, too.
    assert widths[-1] == widths[-2] <= 2 * (bound + 2)
    assert model.categories_[0]["shared"] == 2000 - bound


_FLAT = """
import sys
from pathlib import Path
from loco_stream import LOCOClassifier
model = LOCOClassifier(hidden_sizes=16, seed=1)
peaks = []
for i in range(int(sys.argv[1])):
    model.learn_one({"id": f"id {i * 7919 % 100_000}", "size": i % 17}, i % 3)
    if i + 1 in (int(sys.argv[1]) // 5, int(sys.argv[1])):
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        peaks.append(int(status["VmHWM"].split()[0]))  # ru_maxrss starts from the parent's peak
print(peaks[1] - peaks[0], model.categories_["id"]["distinct"])
"""


def growth(n):
    """Return the growth of the peak of memory in kB over n rows, and the distinct texts."""
    done = subprocess.run(
        [sys.executable, "-c", _FLAT, str(n)], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc"
)
@pytest.mark.timeout(3600)
def test_memory_is_flat_over_many_distinct_texts():
    kilobytes, distinct = growth(1_000_000 if SOAK else 20_000)
    assert distinct == LOCOClassifier().categories
    assert kilobytes < 4096

"""Bounds on names hold for every entrance of an engine and of a fleet."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, LOCORegressor
from loco_stream._cli._options import SourceOptions
from loco_stream.connectors import open_source
from loco_stream.engine import StreamEngine
from loco_stream.engine._admission import Admission, NameBounds
from loco_stream.engine._inbox import Inbox, InboxRow, InboxSource
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._validation import ValidEvents
from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Block, Labels, PredictRequest, Sample
from tests.helpers.standin import ListSource, Means

BOUNDS = NameBounds(row_features=8, name_bytes=10, features=10, classes=4, guest_names=2)


def row(names, y="on", source="first", seq=0):
    return Sample(dict.fromkeys(names, 1.0), y, seq, source=source)


def admitted(events, bounds=BOUNDS, problem="classification"):
    valid = ValidEvents(list(events))
    Admission(bounds).admit(valid, problem)
    return [event in valid.events for event in events]


def test_names_beyond_the_bounds_are_refused_and_known_ones_admitted():
    assert admitted([row("abcdefgh"), row("abij"), row("abk"), row("abj")]) == [
        True,
        True,
        False,
        True,
    ]
    assert admitted([row("abcdefghi"), row("ab")]) == [False, True]
    assert admitted([row(["a" * 11]), row("a", y="b" * 11), row("a")]) == [False, False, True]
    assert admitted([row("a", y) for y in "ABCDEDA"]) == [True] * 4 + [False, True, True]


def test_sources_after_the_first_bring_fewer_names():
    rows = [row("abcd"), row("abef", source="guest"), row("abg", source="guest"), row("abg")]
    assert admitted(rows) == [True, True, False, True]


def test_blocks_labels_and_requests_are_bounded_too():
    wide = tuple("abcdefghi")
    X = np.zeros((1, 9), np.float32)
    assert admitted([Block(X, ["on"], wide), PredictRequest(X, wide)]) == [False, False]
    assert admitted([row("a", y) for y in "ABCD"] + [Labels([0], ["E"])])[-1] is False
    assert admitted([Block(X[:, :1], ["on"], ("a",))]) == [True]


@pytest.mark.parametrize("problem", ["regression", "forecasting"])
def test_values_are_no_names(problem):
    rows = [row("a", 0.5 * i, "guest" if i > 5 else "first") for i in range(20)]
    rows += [Block(np.zeros((20, 1), np.float32), np.arange(20.0).tolist(), ("a",))]
    assert admitted([*rows, Labels([0], [99.5])], problem=problem) == [True] * 22
    targets = [row("a", {name: 1.0}) for name in "ABCDE"]
    assert admitted(targets, problem="multi-target regression") == [True] * 4 + [False]


def test_a_run_learns_more_values_than_it_may_have_classes():
    rows = [row("a", 0.5 * i, seq=i) for i in range(50)]
    engine = StreamEngine(LOCORegressor(hidden_sizes=8, seed=1), rows, bounds=BOUNDS)
    report = engine.run()
    assert (report["n_samples"], report["n_rejected"]) == (50, 0)


def test_without_bounds_everything_is_admitted():
    assert admitted([row([str(i) for i in range(10_000)])], NameBounds()) == [True]
    with pytest.raises(ConfigError, match="`classes` must be None or at least 1, got 0"):
        NameBounds(classes=0)


def test_an_engine_refuses_the_row_and_a_resumed_one_knows_the_names(tmp_path):
    def run(commits, **options):
        source = ListSource(commits, needs_log=True)
        engine = StreamEngine(
            Means(), source, checkpoint=tmp_path, resume=None, bounds=BOUNDS, **options
        )
        return engine.run()

    report = run([row("abcd"), row("ijklmnop"), row("abcd", seq=1)], strict=False)
    assert (report["n_samples"], report["n_rejected"]) == (2, 1)
    assert report["skipped"] == {"more names than allowed": 1}
    source = ListSource([row("abcd"), row("abcd"), row("ijklmnop"), row("efghij")])
    source._next = 0
    again = StreamEngine(
        Means(), source, checkpoint=tmp_path, resume=True, bounds=BOUNDS, strict=False
    )
    again._commits.open()
    again._commits.close()
    assert again._commits._admission._features.known == set("abcd")
    with pytest.raises(InputError, match="the model must have at most 10 features"):
        StreamEngine(Means(), [({c: 1.0}, "on") for c in "abcdefghijkl"], bounds=BOUNDS).run()


def test_rows_of_the_http_api_are_bounded_and_their_sender_is_told():
    inbox = Inbox("http")
    source = InboxSource(ListSource([row("abcd"), row("abcd", seq=1)]), inbox)
    many = inbox.put([InboxRow(dict.fromkeys("ijklmn", 1.0), "on")])
    few = inbox.put([InboxRow(dict.fromkeys("abcd", 1.0), "on")])
    engine = StreamEngine(
        Means(),
        source,
        strict=False,
        bounds=BOUNDS,
        watchers=[lambda engine: many.done() and few.done() and engine.stop()],
    )
    report = engine.run()
    assert few.result()[0].status == "learned"
    assert many.result()[0].status == "refused"
    assert "sources after the first must bring at most 2 new features" in many.result()[0].reason
    assert report["n_samples"] == 3


def test_a_fleet_learns_more_values_than_it_may_have_classes(tmp_path):
    rows = [row("a", 0.5 * i, seq=i) for i in range(50)]
    with Fleet(LOCORegressor(hidden_sizes=(4,), seed=0), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(ListSource(rows)), "a", bounds=BOUNDS).run()
    assert (report["n_samples"], report["n_rejected"]) == (50, 0)


def test_a_fleet_is_bounded(tmp_path):
    def keyed(names, seq):
        return Sample({"id": "p1", **dict.fromkeys(names, 1.0)}, "on", seq, source="list")

    source = ListSource([keyed("ab", 0), keyed("abcdefghi", 1), keyed("ab", 2)])
    with Fleet(LOCOClassifier(hidden_sizes=(4,), seed=0), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(source), "id", bounds=BOUNDS).run()
    assert (report["n_samples"], report["n_rejected"]) == (2, 1)
    assert "a row must have at most 8 features" in report["notes"][-1]


def test_a_row_with_a_class_too_many_does_not_refuse_the_rows_of_its_block():
    labels = [f"new {i}" if i % 9 == 8 else "ab"[i % 2] for i in range(300)]
    rows = [({"a": float(i % 7)}, label) for i, label in enumerate(labels)]
    model = LOCOClassifier(hidden_sizes=(4,), seed=0)
    engine = StreamEngine(model, rows, bounds=NameBounds(classes=4), strict=False)
    report = engine.run()
    assert set(engine.model.classes) == {"a", "b", "new 8", "new 17"}
    assert (report["n_samples"], report["n_rejected"]) == (300 - 31, 31)
    assert "at most 4 classes, got 5 with this row" in report["notes"][-1]


def test_a_late_label_too_many_does_not_refuse_those_beside_it():
    valid = ValidEvents([Labels([1, 2, 3, 4], ["a", "b", "c", "a"])])
    Admission(NameBounds(classes=2)).admit(valid)
    assert [(list(event.of), list(event.y)) for event in valid.events] == [
        ([1, 2], ["a", "b"]),
        ([4], ["a"]),
    ]
    assert valid.n_refused == 1


def test_a_block_with_a_feature_too_many_is_refused_as_one():
    block = Block(np.zeros((5, 3)), ["a", "b", "c", "d", "e"], ("x", "y", "z"))
    valid = ValidEvents([block])
    Admission(NameBounds(features=2, classes=2)).admit(valid)
    assert valid.events == []
    assert [event for event, _ in valid.refused] == [block]


def test_limits_of_the_command_hold_for_files_too(tmp_path):
    reading = SourceOptions(None, ("features=64", "model_features=70"), None)
    assert reading.name_bounds() == NameBounds(64, 255, 70, 1024, 24)
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,on\n")
    open_source(f"csv:{path}?target=y", limits={"features": "64"}).close()
    with pytest.raises(ConfigError):
        open_source(f"csv:{path}?target=y", limits={"sources": "64"})


@pytest.mark.parametrize(
    ("kind", "text", "bounds"),
    [
        ("jsonl", '{"a": 1, "y": "on"}\n', NameBounds(features=4096)),
        ("csv", "a,y\n1,on\n", None),
    ],
)
def test_the_classes_of_a_recording_are_bounded_by_limit_only(kind, text, bounds, tmp_path):
    path = tmp_path / "rows"
    path.write_text(text)
    source = open_source(f"{kind}:{path}?target=y")
    assert SourceOptions(None, (), None).bounds_for(source) == bounds
    limited = SourceOptions(None, ("model_classes=9",), None)
    assert limited.bounds_for(source) == limited.name_bounds()
    source.close()

from __future__ import annotations

import pytest

from loco_stream import LOCOClassifier
from loco_stream.engine import StreamEngine
from loco_stream.errors import CheckpointError
from tests.helpers.mutants import joined, signed, split


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("monitor", "alarms", "states"), {"concept": "stable"}),
        (("monitor", "settings", "tasks"), []),
        (("monitor", "timeline", "segments", 0, "task"), 7),
        (("monitor", "timeline", "segments", 0, "goal"), "x"),
        (("monitor", "timeline", "matrix_counts"), [[1]]),
        (("monitor", "timeline", "pending", 0, 1), list("abcdefgh")),
        (("monitor", "unexamined", 0, 0), []),
        (("monitor", "features"), ["a", "a"]),
        (("score", "prequential", "tallies", "hits", "majority"), "w"),
        (("score", "prequential", "tallies", "hits", "n_correct"), [1]),
        (("score", "prequential", "tallies", "confusion", "pairs", 0, 0), 5),
        (("trainer", "counters"), [1]),
        (("trainer", "ledger"), True),
        (("undelivered",), 2),
        (("position",), 0.5),
        (("skip",), None),
        (("model", "shared"), 0.5),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_before_a_row_is_learned(tmp_path, path, value):
    make = {"checkpoint": tmp_path, "task": "classification"}
    rows = [({"a": float(i % 3)}, "xyz"[i % 3]) for i in range(40)]
    StreamEngine(LOCOClassifier(hidden_sizes=(4,)), rows, **make).run()
    newest = max(tmp_path.glob("checkpoint-*.loco"))
    header, arrays = split(newest.read_bytes()[:-32])
    place = header["config"]
    for key in path[:-1]:
        place = place[key]
    assert path[-1] in place or isinstance(place, list)
    place[path[-1]] = value
    newest.write_bytes(signed(joined(header, arrays)))
    for other in set(tmp_path.glob("checkpoint-*.loco")) - {newest}:
        other.unlink()
    with pytest.raises(CheckpointError):
        StreamEngine(LOCOClassifier(hidden_sizes=(4,)), rows, resume=True, **make).run()

"""The test vectors of docs/wire.md are packed and unpacked as the page says."""

from __future__ import annotations

import json

import pytest

from loco_stream.connectors.ls1._messages import (
    ErrorPayload,
    FlowControl,
    Hello,
    decode,
    read_schema,
)
from loco_stream.connectors.ls1._wire import Kind, labels_of, pack, pairs_of, rows_of, unpack
from tests.helpers.pages import ROOT, blocks

PAGE = ROOT / "docs" / "wire.md"
VECTORS = (
    json.loads(next(b.text for b in blocks(PAGE) if b.language == "json")) if PAGE.is_file() else []
)
pytestmark = pytest.mark.skipif(not VECTORS, reason="not run from a checkout")


def read(vector):
    return unpack([b"press", bytes.fromhex(vector["header"]), bytes.fromhex(vector["payload"])])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_packing_gives_the_vector(vector):
    m = read(vector)
    again = pack(
        m.source, m.kind, m.payload, seq=m.seq, t=m.t, n_rows=m.n_rows, n_features=m.n_features
    )
    assert [frame.hex() for frame in again[1:]] == [vector["header"], vector["payload"]]


def test_the_vectors_hold_what_the_page_says():
    messages = {vector["what"]: read(vector) for vector in VECTORS}
    assert {message.kind for message in messages.values()} == set(Kind)
    assert decode(messages["hello, from the source"].payload, Hello) == Hello("press", 1)
    assert decode(messages["hello, from the engine"].payload, FlowControl) == FlowControl(512)
    assert read_schema(messages["schema"].payload).classes == ("ok", "worn")
    labelled = messages["rows 1 and 2 with labels"]
    assert (rows_of(labelled).tolist(), labels_of(labelled, "classification").tolist()) == (
        [[0.5, 1.25], [2.0, -3.0]],
        [0, 1],
    )
    seqs, labels = pairs_of(messages["row 5: the label of row 3, late"], "classification")
    assert (seqs, labels.tolist()) == ([3], [1])
    assert decode(messages["error"].payload, ErrorPayload).error == "say hello"

"""The test vectors of docs/wire.md are what is sent and what is understood."""

from __future__ import annotations

import json

import pytest

from loco_stream.connectors.ls1.messages import Credit, Fault, Hello, decode, read_schema
from loco_stream.connectors.ls1.wire import Kind, labels_of, pack, pairs_of, rows_of, unpack
from tests.helpers.pages import ROOT, blocks

PAGE = ROOT / "docs" / "wire.md"
VECTORS = (
    json.loads(next(b.text for b in blocks(PAGE) if b.language == "json")) if PAGE.is_file() else []
)
pytestmark = pytest.mark.skipif(not VECTORS, reason="not run from a checkout")


def read(vector):
    return unpack([b"press", bytes.fromhex(vector["header"]), bytes.fromhex(vector["payload"])])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_a_vector_is_packed_alike(vector):
    m = read(vector)
    again = pack(
        m.source, m.kind, m.payload, seq=m.seq, t=m.t, n_rows=m.n_rows, n_features=m.n_features
    )
    assert [frame.hex() for frame in again[1:]] == [vector["header"], vector["payload"]]


def test_the_vectors_say_what_the_page_says_of_them():
    said = {vector["what"]: read(vector) for vector in VECTORS}
    assert {message.kind for message in said.values()} == set(Kind)
    assert decode(said["hello, from the source"].payload, Hello) == Hello("press", 1)
    assert decode(said["hello, from the engine"].payload, Credit) == Credit(512)
    assert read_schema(said["schema"].payload).classes == ("ok", "worn")
    labelled = said["rows 1 and 2 with labels"]
    assert (rows_of(labelled).tolist(), labels_of(labelled, "classification").tolist()) == (
        [[0.5, 1.25], [2.0, -3.0]],
        [0, 1],
    )
    seqs, labels = pairs_of(said["row 5: the label of row 3, late"], "classification")
    assert (seqs, labels.tolist()) == ([3], [1])
    assert decode(said["error"].payload, Fault).error == "say hello"

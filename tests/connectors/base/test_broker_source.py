"""What the sources of all brokers share."""

from __future__ import annotations

import json

import pytest

from loco_stream.connectors._base.broker_source import BrokerSource


class Messages(BrokerSource):
    """A broker with some messages, which are read at once."""

    def __init__(self, *messages, **options):
        super().__init__("messages", **options)
        self._bodies = [json.dumps(message).encode() for message in messages]

    def _fetch(self):
        return [self._read_message("press", body) for body in self._bodies]


def rows(n, **more):
    return [{"x": i, "y": "ok", "order": i, **more} for i in range(n)]


def notes(*messages, **options):
    source = Messages(*messages, **options)
    next(iter(source))
    return source.notes


def test_an_id_that_no_row_has_is_named_once(caplog):
    sentence = (
        "messages: none of the first 20 rows had the field 'ordre' of the id; did you mean 'order'?"
    )
    assert notes(*rows(50), id="ordre") == (sentence,)
    assert [record.getMessage() for record in caplog.records] == [sentence]


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        (rows(50), {}),
        (rows(50), {"id": "order"}),
        ([*rows(19), *rows(50, ordre=7)], {"id": "ordre"}),
        ([{"id": i, "label": "ok"} for i in range(50)], {"id": "order"}),
    ],
)
def test_an_id_that_rows_have_is_not_named(messages, options):
    assert not notes(*messages, **options)

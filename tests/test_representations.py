"""What a reader at the prompt sees of an object is one short line."""

from __future__ import annotations

import pytest

from loco_stream import LOCOClassifier
from loco_stream.connectors import open_sink, open_source
from loco_stream.stream import Source


def test_a_ticket_shows_the_row_and_its_prediction():
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    model.learn_one({"level": 0.5}, "low")
    shown = repr(model.observe_one({"level": 1.0}))
    assert shown == (
        "Ticket(x={'level': 1.0}, features=None, prediction='low', proba={'low': 1.0})"
    )


def test_sources_and_sinks_show_their_address(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("level\n1\n")
    assert repr(open_source(f"csv:{path}?target=")) == "<CSVSource csv:rows.csv>"
    assert repr(open_sink(f"jsonl:{path}.jsonl")) == f"<JSONLSink jsonl:{path}.jsonl>"


def test_a_source_without_a_name_shows_its_class():
    class Nothing(Source):
        @property
        def position(self):
            return {}

        def __iter__(self):
            return iter(())

    assert repr(Nothing()) == "<Nothing>"


def test_a_page_shows_where_it_is():
    pytest.importorskip("uvicorn")
    from loco_stream.dashboard import Dashboard

    with Dashboard(0) as page:
        assert repr(page) == f"<Dashboard at {page.url}>"

"""A misspelt option of a connector in Python is named, with the options that there are."""

from __future__ import annotations

import pytest

from loco_stream.connectors import BufferedSink, CSVSource, JSONLSink, MQTTSource


def test_an_option_that_a_file_source_does_not_have(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("speed,kind\n1,ok\n")
    with pytest.raises(TypeError) as raised:
        CSVSource(path, target="kind", delimeter=";")
    text = str(raised.value)
    assert text.startswith("csv: has no option 'delimeter'; did you mean 'delimiter'?")
    assert "decimal" in text
    assert "on_bad" in text
    assert "__init__" not in text


def test_an_option_that_a_broker_source_does_not_have():
    pytest.importorskip("paho.mqtt")
    with pytest.raises(TypeError, match=r"mqtt: has no option 'targt'; did you mean 'target'\?"):
        MQTTSource("127.0.0.1", "rows", targt="kind")


def test_an_option_that_a_sink_does_not_have(tmp_path):
    with pytest.raises(TypeError, match=r"jsonl: has no option 'ony'; did you mean 'only'\?"):
        JSONLSink(tmp_path / "out.jsonl", ony="drift")


def test_a_sink_of_ones_own():
    class Printer(BufferedSink):
        def send(self, records):
            """Send nothing."""

    Printer(name="printer").close({})
    with pytest.raises(TypeError, match=r"Printer: has no option 'ony'; did you mean 'only'\?"):
        Printer(name="printer", ony="drift")

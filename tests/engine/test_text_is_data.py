"""Labels and names from outside are shown as they are, and obeyed by nothing."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from loco_stream._cli._logging import _StderrHandler
from loco_stream._text import one_line
from loco_stream.engine import StreamEngine
from tests.helpers.standin import Means

HOSTILE = ["[/x]", "[bold red]HI[/]", "\x1b[31mred\x1b[0m", "two\nlines", "\u202egnitirw", "a\rb"]


@pytest.mark.parametrize("label", HOSTILE)
def test_a_report_shows_labels_as_text(label):
    report = StreamEngine(Means(), [({"a": 0.5}, label), ({"a": 0.5}, "on")] * 10).run()
    shown = str(report)
    assert one_line(label) in shown
    assert all(ord(letter) >= 32 or letter == "\n" for letter in shown)
    terminal = io.StringIO()
    Console(file=terminal, force_terminal=True, width=200).print(report.table())
    assert one_line(label) in terminal.getvalue()
    assert "\x1b[31m" not in terminal.getvalue()


def test_a_record_of_the_log_is_one_line(capsys):
    record = logging.LogRecord(
        "loco_stream", logging.WARNING, "", 0, "refused: %s", ("a\nERROR \x1b[2Jforged",), None
    )
    text = _StderrHandler().format(record)
    assert text.splitlines()[0].endswith(r"refused: a\nERROR \x1b[2Jforged")
    assert len(text.splitlines()) == 1

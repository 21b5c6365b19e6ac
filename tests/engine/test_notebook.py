"""Output of reports and progress in notebooks, in a real kernel where one is installed."""

from __future__ import annotations

import re
import time

import pytest

from loco_stream._compiler.timing import compile_seconds, is_compiling, notify_when_compiling
from loco_stream.engine import Report
from tests.engine.test_report import RESULTS

CELL = """
from river import datasets, naive_bayes
from loco_stream import StreamEngine
engine = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing())
report = engine.run(max_samples=300, progress=True)
report
"""


def test_the_html_of_a_report_escapes_texts_of_the_stream():
    shown = Report({**RESULTS, "source": "<script>alert(1)</script>"})._repr_html_()
    assert "0.9123" in shown
    assert "<script>" not in shown
    assert "data:image/png;base64,iVBOR" in shown
    assert "<img" not in Report({"n_samples": 0})._repr_html_()


def test_plot_returns_the_figure_with_and_without_a_file(tmp_path):
    figure = Report(RESULTS).plot()
    assert len(figure.axes[0].lines) == 3  # both scores and the alarm
    assert Report(RESULTS).plot(tmp_path / "run.svg").axes
    assert (tmp_path / "run.svg").read_text().startswith("<?xml")


def test_compile_time_is_counted_and_announced_once():
    import numba

    before = compile_seconds()
    said = []
    with notify_when_compiling(lambda: said.append(is_compiling())):
        numba.njit(lambda x: x + 1)(1)
        numba.njit(lambda x: x + 2)(1)
    assert compile_seconds() > before
    assert said == [True]
    assert not is_compiling()


def test_compile_time_does_not_lower_the_speed():
    import numba

    from loco_stream import StreamEngine

    class Compiles:
        n = 0

        def predict_one(self, x):
            self.n += 1
            if self.n == 50:
                began = compile_seconds()
                while compile_seconds() < began + 0.5:
                    numba.njit(lambda x: x + 1)(1)
            return 0

        def learn_one(self, x, y):
            pass

    began = time.perf_counter()
    report = StreamEngine(Compiles(), [({"a": 1}, 0)] * 100, task="classification").run()
    took = time.perf_counter() - began
    assert 100 / report["samples_per_second"] < took - 0.4


@pytest.mark.slow
def test_a_notebook_shows_progress_and_report():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()
    shown = []

    def take(message):
        if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
            shown.append((message["msg_type"], message["content"]["data"]))
        assert message["msg_type"] != "error", message["content"]

    try:
        client.execute_interactive(CELL, timeout=120, output_hook=take)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    kinds = [kind for kind, _ in shown]
    assert kinds[0] == "display_data"
    assert kinds[-2:] == ["update_display_data", "execute_result"]
    assert re.search(r'<progress max="1" value="1.000".*300 samples', shown[-2][1]["text/html"])
    assert "<caption>Phishing: 300 samples" in shown[-1][1]["text/html"].replace("river:", "")


def test_the_text_of_a_report_is_no_output_of_a_notebook(monkeypatch):
    """Rich showed an empty block beside the printed table."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *_: pytest.fail("shown"))
    assert "0.9123" in str(Report(RESULTS))

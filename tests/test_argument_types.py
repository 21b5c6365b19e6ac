"""An argument of another type is refused by name, before anything is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, StreamEngine, TaskMonitor, load, metrics
from loco_stream.dashboard import Dashboard
from loco_stream.drift import ConceptDetector, InputDetector
from loco_stream.engine import NameBounds
from loco_stream.errors import ConfigError

ROWS = [({"a": 1.0}, "x")]


def engine(**options):
    return StreamEngine(LOCOClassifier(4, seed=1), ROWS, **options)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ConceptDetector([]), "`drift_detector` must be one of"),
        (lambda: ConceptDetector(options=3), "`options` must be None or a dict, got int"),
        (lambda: InputDetector(None), "`n_features` must be an integer, got NoneType"),
        (lambda: InputDetector(np.float64("nan")), "`n_features` must be an integer, got float"),
        (lambda: InputDetector(4, rank=-1), "`rank` must be at least 0, got -1"),
        (lambda: InputDetector(4, threshold="high"), "`threshold` must be a number, got str"),
        (lambda: InputDetector(4, seed=None), "`seed` must be an integer, got NoneType"),
        (lambda: TaskMonitor([]), "`drift_detector` must be one of"),
        (lambda: TaskMonitor(detector_options=3), "`detector_options` must be None or a dict"),
        (lambda: TaskMonitor(inputs="no"), "`inputs` must be True or False, got 'no'"),
        (lambda: engine(sinks=3), "`sinks` must be a list, tuple or other iterable, got int"),
        (lambda: engine(strict="no"), "`strict` must be True or False, got 'no'"),
        (lambda: engine(forever=1), "`forever` must be True or False, got 1"),
        (lambda: engine(choose="LOCOClassifier"), "`choose` must be None or a function, got str"),
        (lambda: engine(tracer=print), "`tracer` must be None or a Tracer, got builtin_function"),
        (lambda: engine(durability=3), "`durability` must be batch, interval:"),
        (lambda: engine(at_precision=None), "`at_precision` must be a number, got NoneType"),
        (lambda: NameBounds(classes="8"), "`classes` must be None or an integer, got str"),
        (lambda: Fleet(None, "x", monitor=3), "`monitor` must be None or a TaskMonitor, got int"),
        (lambda: Fleet(None, "x", durability=3), "`durability` must be batch, interval:"),
        (lambda: Fleet(None, "x", lease=None), "`lease` must be a number, got NoneType"),
        (lambda: Fleet(None, "x", settings=3), "`settings` must be None or a dict, got int"),
        (lambda: load("x", max_bytes="1 GB"), "`max_bytes` must be an integer, got str"),
        (lambda: Dashboard("8765"), "`port` must be an integer, got str"),
        (lambda: Dashboard(0, allowed_hosts="a.de"), "`allowed_hosts` must be a list or tuple of"),
        (lambda: Dashboard(0, title=3), "`title` must be a text, got int"),
        (lambda: metrics.Prequential(fading="slow"), "`fading` must be a number, got str"),
        (lambda: metrics.fading_accuracy([1], [1], None), "`fading` must be a number, got None"),
        (
            lambda: metrics.windowed_forgetting([[0.9], [0.5]], window=2.5),
            "`window` must be an integer, got float",
        ),
    ],
)
def test_it_is_refused(make, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"^{text}"):
        make()
    assert not list(tmp_path.iterdir())

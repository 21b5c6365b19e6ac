"""The dashboard and the alert rules ask for nothing that no engine exports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from loco_stream.metrics._keys import KEYS

FOLDER = Path(__file__).parents[2] / "docs" / "grafana"
ENDINGS = {"counter": ("_total",), "parts": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
METRICS = {
    f"loco_{key.prometheus}{ending}"
    for key in KEYS
    if key.prometheus
    for ending in ENDINGS.get(key.kind, ("",))
}


@pytest.fixture(scope="module")
def dashboard():
    if not FOLDER.is_dir():
        pytest.skip("not run from a checkout")
    return json.loads((FOLDER / "dashboard.json").read_text())


@pytest.fixture(scope="module")
def rules():
    yaml = pytest.importorskip("yaml")
    if not FOLDER.is_dir():
        pytest.skip("not run from a checkout")
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def asked(text):
    return set(re.findall(r"\bloco_\w+", text))


def test_each_panel_of_the_dashboard_shows_metrics_that_exist(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel["targets"]:
            assert asked(target["expr"])
            assert asked(target["expr"]) <= METRICS
    assert asked(json.dumps(dashboard)) <= METRICS
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)


def test_each_alert_asks_for_metrics_that_exist_and_says_what_is_wrong(rules):
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert asked(rule["expr"]) <= METRICS
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"]["summary"]
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= {"instance", "what"}
    assert any("loco_drifts_total" in rule["expr"] for rule in rules)

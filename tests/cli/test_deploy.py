"""The published container files: what they name exists, and the health check works."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.engine_process import LOCO, end, start
from tests.helpers.ports import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="not run from a checkout")


def image_check():
    """Return the command of the health check of the image."""
    text = (DEPLOY / "Containerfile").read_text()
    return json.loads(re.search(r"HEALTHCHECK.*?CMD (\[.*?\])\n", text, re.DOTALL)[1])


def compose():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def is_healthy(port):
    """Run the health check, against a port of this machine."""
    program, *arguments = image_check()
    assert program == "python3"
    here = [argument.replace("8080", str(port)) for argument in arguments]
    return subprocess.run([sys.executable, *here], capture_output=True).returncode == 0


def test_the_health_check_tells_a_service_that_answers(tmp_path, processes):
    port = free_port()
    assert not is_healthy(port)
    # as in the image: an address that others reach, and a token that is made at the first start
    options = ["--bind", "0.0.0.0", "--token", str(tmp_path / "token")]
    where = ["--http", str(port), "--checkpoint", str(tmp_path / "run"), *options]
    service = start(processes, *LOCO, "serve", *where)
    deadline = time.monotonic() + 120
    while not is_healthy(port):
        assert service.poll() is None, service.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    end(service)
    assert not is_healthy(port)


def test_the_unit_refuses_system_calls_and_does_not_kill_for_them():
    unit = (DEPLOY / "loco-stream.service").read_text()
    assert "SystemCallFilter=~" in unit
    assert "\nSystemCallErrorNumber=EPERM\n" in unit  # pyarrow calls mbind when it is imported


def test_compose_mounts_files_that_exist():
    services = compose()
    assert set(services) == {"engine", "broker", "prometheus", "grafana"}
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    files = [mount.partition(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(files) >= 6
    for file in files:
        assert (DEPLOY / file).exists(), file


def test_compose_checks_the_health_of_the_engine_as_the_image_does():
    engine = compose()["engine"]
    assert shlex.split(engine["healthcheck"]["test"]) == image_check()
    assert engine["read_only"] is True
    assert engine["cap_drop"] == ["ALL"]


def test_prometheus_scrapes_the_engine_and_grafana_shows_prometheus():
    yaml = pytest.importorskip("yaml")
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]
    image = (DEPLOY / "Containerfile").read_text()
    port = re.search(r"LOCO_STREAM_METRICS_PORT=(\d+)", image)[1]
    assert scrape["static_configs"][0]["targets"] == [f"engine:{port}"]
    alerts = (ROOT / "docs" / "grafana" / "alerts.yml").read_text()
    assert {scrape["job_name"]} == set(re.findall(r'job="([^"]+)"', alerts))
    token = re.search(r"LOCO_STREAM_TOKEN=(\S+)", image)[1]
    assert scrape["authorization"]["credentials_file"] == token
    source = yaml.safe_load((DEPLOY / "grafana" / "datasources.yml").read_text())["datasources"][0]
    assert (source["url"], source["isDefault"]) == ("http://prometheus:9090", True)
    provider = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yml").read_text())["providers"][0]
    grafana = [mount.split(":") for mount in compose()["grafana"]["volumes"]]
    mounted = {inside: DEPLOY / outside for outside, inside, _ in grafana}
    assert (mounted[provider["options"]["path"]] / "dashboard.json").exists()

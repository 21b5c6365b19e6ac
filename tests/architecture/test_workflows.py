"""The workflows run what a person runs, on every version of Python that is supported."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="not run from a checkout")


def load(name):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


def commands(workflow):
    return [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]


def test_every_supported_python_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = load("tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert versions == classifiers


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_make_targets_and_scripts_exist(path):
    makefile = (ROOT / "Makefile").read_text()
    for line in commands(load(path.name)):
        for target in re.findall(r"^make ([\w-]+)", line, re.M):
            assert re.search(rf"^{target}:", makefile, re.M), target
        for script in re.findall(r"^bash (\S+)", line, re.M):
            assert (ROOT / script).is_file(), script


def test_ci_checks_and_tests():
    assert "bash .ci/run" in commands(load("tests.yml"))
    script = (ROOT / ".ci" / "run").read_text()
    assert "\nmake check\n" in script
    assert "\nmake test\n" in script


def test_a_release_is_published_without_a_stored_token():
    release = load("release.yml")
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert release["jobs"]["publish"]["environment"] == "pypi"
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()

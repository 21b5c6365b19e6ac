from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import loco_stream
from tests.helpers.modules import modules

HEAVY = (
    "numba",
    "river",
    "matplotlib",
    "zmq",
    "rich",
    "pandas",
    "sklearn",
    "pyarrow",
    "paho",
    "pylsl",
    "starlette",
)


def fresh(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "statement", ["import loco_stream", "import loco_stream.connectors", "import loco_stream._cli"]
)
def test_the_import_is_light(statement):
    done = fresh(
        f"{statement}, sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))".replace(
            ", sys;", "; import sys;"
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_star_import_brings_no_module():
    """A module `metrics` would hide that of river."""
    names = {}
    exec("from loco_stream import *", names)
    assert not [name for name, value in names.items() if isinstance(value, ModuleType)]
    assert loco_stream.metrics.__name__ == "loco_stream.metrics"


def test_every_public_name_is_there():
    for name in loco_stream.__all__:
        assert getattr(loco_stream, name) is not None
    assert set(loco_stream.__all__) <= set(dir(loco_stream))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        loco_stream.nothing  # noqa: B018


@pytest.mark.parametrize("name", modules())
def test_every_module_imports_and_lists_what_it_has(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public)


@pytest.mark.parametrize("package", ["connectors", "demos"])
def test_the_top_level_folders_are_not_imported_under_a_second_name(package):
    root = Path(__file__).parent.parent
    if not (root / package / "__init__.py").is_file():
        pytest.skip("not run from a checkout")
    done = fresh(f"import sys; sys.path.insert(0, {str(root)!r}); import {package}")
    assert done.returncode != 0
    assert f"loco_stream.{package}" in done.stderr


def test_the_wheel_would_hold_every_package():
    project = Path(__file__).parent.parent / "pyproject.toml"
    listed = tomllib.loads(project.read_text())["tool"]["setuptools"]["packages"]
    packages = [
        info.name
        for info in pkgutil.walk_packages(loco_stream.__path__, "loco_stream.")
        if info.ispkg
    ]
    assert sorted(listed) == sorted({"loco_stream", *packages})


def test_the_version_is_the_packages():
    assert version("loco-stream") == loco_stream.__version__

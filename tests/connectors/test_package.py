"""The package `loco_stream.connectors`: import name, lazy imports, dependencies."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import loco_stream.connectors as connectors

FOLDER = Path(connectors.__file__).resolve().parent


def test_import_as_connectors_is_refused():
    code = f"import sys; sys.path.insert(0, {str(FOLDER.parent)!r}); import connectors"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if FOLDER.name != "connectors":  # of an installed wheel
        pytest.skip("not a source tree")
    assert done.returncode != 0
    assert "import this package as loco_stream.connectors, not as 'connectors'" in done.stderr or (
        "No module named 'connectors'" in done.stderr
    )


def test_the_import_is_lazy():
    code = (
        "import sys, loco_stream.connectors as c; dir(c);"
        "names = ('river', 'zmq', 'numpy', 'paho', 'pylsl', 'pyarrow')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_exists():
    assert {getattr(connectors, name).__name__ for name in connectors.__all__} == set(
        connectors.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        connectors.Nothing  # noqa: B018


def test_only_lower_layers_are_imported():
    allowed = {
        "stream",
        "errors",
        "_arrays",
        "_decoding",
        "_rng",
        "_numbers",
        "connectors",
        "records",
        "_text",
        "_checks",
        "_keywords",
        "_problems",
        "_joins",
        "_lazy",
        "_known_names",
    }
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            for name in names:
                if name.split(".")[0] == "loco_stream" and name != "loco_stream":
                    assert name.split(".")[1] in allowed, f"{path.name} imports {name}"

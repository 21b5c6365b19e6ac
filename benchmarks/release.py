"""Measurements of release 0.1, from the checkout that LOCO_STREAM_V01 names.

They run in another process, which imports `loco_stream` from that checkout and the benches from
this one, so that both releases are measured by the same code. To start it by hand:
`python benchmarks/release.py CHECKOUT < JSON`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["MISSING", "checkout", "fingerprint_of", "measure"]

MISSING = (
    "release 0.1: set LOCO_STREAM_V01 to a checkout of it, made by `git worktree add DIR v0.1.0`"
)
_ROOT = Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """Return the directory of LOCO_STREAM_V01, or None if the package is not there."""
    given = os.environ.get("LOCO_STREAM_V01")
    return (
        Path(given) if given and (Path(given) / "loco_stream" / "__init__.py").is_file() else None
    )


def fingerprint_of() -> str:
    """Return a short hash of the release's code."""
    root = checkout()
    digest = hashlib.sha256()
    for path in sorted((root / "loco_stream").rglob("*.py")) if root else []:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def measure(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run `module:function(**arguments)` with the release's package, in another process.

    Raises
    ------
    ConfigError
        If there is no checkout, or if the process failed; the message ends with its last line.
    """
    from benchmarks.subprocesses import run_json
    from loco_stream.errors import ConfigError

    root = checkout()
    if root is None:
        raise ConfigError(MISSING)
    order = json.dumps({"function": function, "arguments": arguments})
    return run_json(
        [sys.executable, __file__, str(root)],
        f"release 0.1 in {str(root)!r} could not run {function}",
        order,
    )


def _main(root: str) -> None:
    order = json.load(sys.stdin)
    sys.path[0] = root  # instead of this file's directory
    package = import_module("loco_stream")
    assert package.__file__ is not None
    assert Path(root) in Path(package.__file__).parents, f"{package.__file__} is not in {root}"
    sys.path[0] = str(_ROOT)
    module, _, name = order["function"].partition(":")
    print(json.dumps(getattr(import_module(module), name)(**order["arguments"])))


if __name__ == "__main__":
    _main(sys.argv[1])

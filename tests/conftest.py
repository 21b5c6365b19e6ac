"""Shared by all tests: the compile cache, set before anything imports numba, and how examples are drawn."""

from __future__ import annotations

import hashlib
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, settings

# The same examples in every run, however busy the machine; the soak draws others.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=not os.environ.get("LOCO_SOAK"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def _kernel_cache() -> str:
    """Name a compile cache after the kernels' sources.

    Numba looks only at the file of the outermost function, so a changed callee in another file would
    leave a stale machine code behind. What is compiled in names numba, or is a stage of the step, or
    holds the constants of both.
    """
    spec = find_spec("loco_stream")
    assert spec is not None
    assert spec.origin is not None
    digest = hashlib.sha256()
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        text = path.read_bytes()
        if b"numba" in text or path.parent.name == "step" or path.name == "state.py":
            digest.update(path.name.encode() + b"\0" + text)
    return str(Path(tempfile.gettempdir()) / f"loco-stream-numba-{os.getuid()}" / digest.hexdigest()[:16])


os.environ.setdefault("NUMBA_CACHE_DIR", _kernel_cache())

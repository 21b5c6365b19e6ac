"""Machine, versions and code of a measurement, and timing."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import loco_stream

__all__ = ["cpu_seconds", "fingerprint", "median", "record"]

_PACKAGES = ("numpy", "numba", "river", "scikit-learn")
_ROOT = Path(__file__).parent.parent
# Code that a model depends on; changes of other code do not make results stale.
_MODEL = (
    "_compiler/**/*.py",
    "_learner/**/*.py",
    "_options.py",
    "_rng.py",
    "estimators/**/*.py",
    "neurons/*.py",
)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "loco-stream": metadata.version("loco-stream")}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*words: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def record() -> dict[str, Any]:
    """Return the command, commit, versions, machine and time of this run, ready for JSON."""
    commit = _git("rev-parse", "--short", "HEAD")
    called = Path(sys.argv[0])
    program = (
        ["python", "-m", called.parent.name] if called.name == "__main__.py" else [called.name]
    )
    return {
        "command": shlex.join([*program, *sys.argv[1:]]),
        "commit": commit
        if commit is None or not _git("status", "--porcelain", "-uno", ".")
        else f"{commit}+changes",
        "versions": _versions(),
        "machine": (
            f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
        ),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def fingerprint(*parts: str) -> str:
    """Return a short hash of the code that a result depends on; stale results are measured again.

    Parameters
    ----------
    parts
        Files, for example `"benchmarks/mlp.py"`, or `"loco_stream/_rng.py"` of the imported
        package; none means the code of a model.
    """
    package = Path(loco_stream.__file__).parent
    roots = {"benchmarks": _ROOT, "loco_stream": package.parent}
    chosen = [roots[part.partition("/")[0]] / part for part in parts] or sorted(
        path for form in _MODEL for path in package.glob(form)
    )
    digest = hashlib.sha256(repr(_versions()).encode())
    for path in chosen:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Run `work` and return (CPU seconds of this process, its result)."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def median(values: Sequence[float]) -> float:
    """Return the median, which suits shared and noisy machines."""
    return float(statistics.median(values))

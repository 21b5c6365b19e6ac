"""Measure how much disk space each extra of this package takes, in docs/install.md.

``python docs/extras.py`` writes the table into the page. It reads the sizes from the installed
distributions (``pip install -e '.[test,docs]'`` has nearly all). What the package needs without
extras is not counted again. The row of an extra that is not installed stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).with_name("install.md")
PROJECT = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text())["project"]
PURPOSES = {
    "plot": "pictures of reports, models and spikes",
    "mqtt": "source and sink `mqtt://`",
    "redis": "source and sink `redis://`",
    "kafka": "source and sink `kafka://`",
    "nats": "source and sink `nats://`",
    "opcua": "source `opcua://`",
    "serial": "source `serial:`",
    "influx": "source `influx:`, and line protocol at `--http`",
    "lsl": "source `lsl:`",
    "metrics": "`--metrics-port` for Prometheus",
    "otel": "`--otlp` for OpenTelemetry",
    "mlflow": "sink `mlflow:`",
    "dashboard": "`--dashboard`, `--http`",
    "ray": "`fleet --workers`",
    "objects": "fleets in object storage",
    "nir": "NIR files: `Network.to_nir`, `loco-stream nir`",
    "capymoa": "learners for CapyMOA's evaluation; needs Java 17",
    "avalanche": "a strategy for Avalanche's loops",
}
_MARKS = re.compile(r"(<!-- generated: extras -->\n).*?(<!-- end -->)", re.S)


def names(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that apply on this machine without extras."""
    parsed = map(Requirement, requirements)
    return {
        need.name.lower().replace("_", "-")
        for need in parsed
        if need.marker is None or need.marker.evaluate({"extra": ""})
    }


def closure(distributions: set[str]) -> set[str]:
    """Return distributions with everything that they require."""
    found: set[str] = set()
    left = set(distributions)
    while left:
        name = left.pop()
        found.add(name)
        left |= names(metadata.requires(name) or ()) - found
    return found


def megabytes(distributions: set[str]) -> float:
    """Return the size of the files of distributions."""
    size = 0
    for name in distributions:
        for file in metadata.distribution(name).files or ():
            path = Path(str(file.locate()))
            size += path.stat().st_size if path.is_file() else 0
    return size / 1e6


def table(before: str) -> str:
    """Return the table of the page; `before` is the one that it replaces."""
    rows = {row[1]: row[0] for row in re.finditer(r"^\| `(\w+)` \|.*", before, re.M)}
    base = closure(names(PROJECT["dependencies"]))
    lines = ["| extra | brings | for | MB |", "| --- | --- | --- | --- |"]
    lines.append(f"| none | {len(base)} distributions | | {megabytes(base):.0f} |")
    for extra, purpose in PURPOSES.items():
        asked = names(PROJECT["optional-dependencies"][extra])
        try:
            size = megabytes(closure(asked) - base)
        except metadata.PackageNotFoundError:
            lines.append(rows[extra])
            continue
        lines.append(f"| `{extra}` | {', '.join(sorted(asked))} | {purpose} | {size:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(_MARKS.sub(lambda match: match[1] + table(match[0]) + match[2], text))

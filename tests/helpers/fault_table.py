"""Counts of what the tests with faults did, as the rows of a table.

LOCO_FAULT_TABLE names the file that they are appended to; without it nothing is written.
"""

from __future__ import annotations

import os
from pathlib import Path

HEAD = "| fault | faults | rows | rows sent again | keys | keys that differ from one process |\n"


def note(fault, n_faults, n_rows, n_repeated, n_keys, n_wrong):
    """Append what became of the rows of one test."""
    name = os.environ.get("LOCO_FAULT_TABLE")
    if name is None:
        return
    path = Path(name)
    with path.open("a") as table:
        if not path.stat().st_size:
            table.write(HEAD + "|---" * 6 + "|\n")
        counts = " | ".join(f"{n:,}" for n in (n_faults, n_rows, n_repeated, n_keys, n_wrong))
        table.write(f"| {fault} | {counts} |\n")

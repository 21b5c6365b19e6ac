"""Time the first steps of a newcomer, as docs/start.md and docs/watching.md describe them.

``python docs/first_steps.py`` installs the package of this folder into an empty environment, with
an empty folder of compiled code, and prints a line per step: seconds on the clock, and seconds of
CPU time. ``--bin FOLDER`` takes an installed `loco-stream` and the code that it compiled before.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 600.0  # seconds; a loaded machine compiles slowly
TICKS = os.sysconf("SC_CLK_TCK")


class Steps:
    """Commands in a folder, and what they took.

    Parameters
    ----------
    folder
        Where the commands run.
    bin_folder
        The folder of `loco-stream`; None installs it into the folder.
    """

    def __init__(self, folder: Path, bin_folder: Path | None) -> None:
        self.folder = folder
        self.bin_folder = bin_folder or folder / "venv" / "bin"
        cache = {} if bin_folder else {"LOCO_STREAM_CACHE_DIR": str(folder / "compiled")}
        self._environment = os.environ | cache

    def print_step(self, name: str, wall: float, cpu: float) -> None:
        """Print a line of the table."""
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |", flush=True)

    def run(self, name: str, words: list[str]) -> None:
        """Run a command to its end."""
        began = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, cwd=self.folder, env=self._environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.print_step(name, time.monotonic() - began, cpu)

    @contextmanager
    def service(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `loco-stream` with these words until the block ends."""
        command = [str(self.bin_folder / "loco-stream"), *options, "--quiet"]
        with subprocess.Popen(command, cwd=self.folder, env=self._environment) as process:
            try:
                yield process
            finally:
                process.terminate()

    def wait(self, process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> float:
        """Wait until something is there; return the CPU seconds of the process so far."""
        deadline = time.monotonic() + PATIENCE
        while not is_there():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{process.args!r} did not get there")
            time.sleep(0.02)
        return _cpu_seconds(process.pid)

    def holds(self, name: str, text: str) -> Callable[[], bool]:
        """Return whether a file of the folder holds a text, as a function."""
        path = self.folder / name
        return lambda: path.is_file() and text in path.read_text()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def labelled_rows() -> str:
    """Return the table of docs/start.md: after 1000 rows the labels are exchanged."""
    draws = random.Random(1)
    lines = ["speed,kind"]
    for i in range(2000):
        speed = draws.random()
        lines.append(f"{speed:.3f},{'ok' if (speed < 0.5) == (i < 1000) else 'worn'}")
    return "\n".join(lines) + "\n"


def pump_rows() -> str:
    """Return the table of docs/watching.md: at row 1,500 the flow collapses."""
    draws = random.Random(1)
    lines = ["pressure,flow"]
    for i in range(2000):
        pressure = 4 + draws.gauss(0, 0.1)
        lines.append(f"{pressure:.3f},{(12 if i < 1500 else 7) + draws.gauss(0, 0.2):.3f}")
    return "\n".join(lines) + "\n"


def first_live_rows(steps: Steps) -> None:
    """Start a service, write rows into its file, and wait for a row and for an alert."""
    began = time.monotonic()
    source = "csv:live.csv?target=kind&follow=1"
    outputs = (
        "--sink",
        "jsonl:rows.jsonl?only=prediction",
        "--sink",
        "jsonl:alerts.jsonl?only=drift",
    )
    with steps.service(
        "serve", "--source", source, "--checkpoint", "live-state", *outputs
    ) as process:
        (steps.folder / "live.csv").write_text(labelled_rows())
        cpu = steps.wait(process, steps.holds("rows.jsonl", "prediction"))
        steps.print_step("first live row is predicted", time.monotonic() - began, cpu)
        cpu = steps.wait(process, steps.holds("alerts.jsonl", '"what":"concept"'))
        steps.print_step("first alert of a drift", time.monotonic() - began, cpu)


def first_alarm(steps: Steps) -> None:
    """Watch a table without labels, and wait for the alarm of its fault."""
    began = time.monotonic()
    (steps.folder / "pump.csv").write_text(pump_rows())
    sink = "jsonl:alarms.jsonl?only=anomaly"
    source = "csv:pump.csv?follow=1"  # it stays, so that its CPU time can be read
    with steps.service("watch", source, "--seed", "1", "--sink", sink) as process:
        cpu = steps.wait(process, steps.holds("alarms.jsonl", '"at":1500'))
        steps.print_step("first alarm without labels", time.monotonic() - began, cpu)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, help="folder of an installed loco-stream")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        steps = Steps(Path(name), asked.bin)
        print("| step | seconds | of CPU time |\n|---|---|---|", flush=True)
        if asked.bin is None:
            steps.run("an environment", [sys.executable, "-m", "venv", "venv"])
            pip = [str(steps.bin_folder / "pip"), "install", "--quiet"]
            steps.run("installation", [*pip, f"{ROOT}[dashboard]"])
        model = ["run", "river:Phishing", "--seed", "1", "--quiet"]
        steps.run("first model", [str(steps.bin_folder / "loco-stream"), *model])
        first_live_rows(steps)
        first_alarm(steps)


if __name__ == "__main__":
    main()

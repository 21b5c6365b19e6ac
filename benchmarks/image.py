"""Start, first answer and idle memory of the image: `python -m benchmarks.image IMAGE`.

Needs podman. Each start has a new volume, a read-only root, no capabilities, and the ports 8080 and
9100 of this machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

NAME = "loco-stream-image"
STARTS = 3
IDLE_SECONDS = 20.0
DEADLINE = 120.0  # seconds until the first answer; 14 s on a machine with a load of 10
URL = "http://127.0.0.1:8080"


def podman(*words: str) -> str:
    """Return the output of a command of podman."""
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def call(path: str, body: object = None, token: str = "") -> object:
    """Return the answer of the service."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, headers)
    return json.load(urllib.request.urlopen(request, timeout=60))


def wait_until_healthy() -> None:
    """Wait until the service answers, at most `DEADLINE` seconds.

    Raises
    ------
    TimeoutError
        It has not answered by then; the text ends with the log of the container.
    """
    until = time.monotonic() + DEADLINE
    while True:
        try:
            call("/health")
        except OSError as error:
            if time.monotonic() > until:
                words = ["podman", "logs", "--tail", "20", NAME]
                log = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                told = log.stdout.decode(errors="replace")
                raise TimeoutError(f"no answer within {DEADLINE:g} s; its log:\n{told}") from error
            time.sleep(0.05)
        else:
            return


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def measure(image: str) -> dict[str, float]:
    """Start the image once; return seconds, megabytes and the idle share of a core."""
    options = ["--network", "host", "--read-only", "--cap-drop", "all", "-v", f"{NAME}:/state"]
    begin = time.monotonic()
    podman("run", "-d", "--name", NAME, *options, "-e", "LOCO_STREAM_BIND=127.0.0.1", image)
    try:
        wait_until_healthy()
        ready = time.monotonic() - begin
        token = podman("exec", NAME, "cat", "/state/token")
        for speed, label in ((0.4, "ok"), (0.9, "worn")):
            call("/learn", {"x": {"speed": speed}, "y": label}, token)
        call("/predict", {"x": {"speed": 0.9}}, token)
        answered = time.monotonic() - begin
        pid = int(podman("inspect", "-f", "{{.State.Pid}}", NAME))
        cpu = cpu_seconds(pid)
        time.sleep(IDLE_SECONDS)
        idle = (cpu_seconds(pid) - cpu) / IDLE_SECONDS
        memory = resident_mb(pid)
    finally:
        podman("rm", "-f", NAME)
        podman("volume", "rm", "-f", NAME)
    return {
        "ready, s": ready,
        "two rows learned and one predicted, s": answered,
        "CPU until then, s": cpu,
        "memory idle, MB": memory,
        "idle, % of a core": 100.0 * idle,
    }


def main(image: str) -> None:
    """Print a table of the median and the range of all starts."""
    size = int(podman("image", "inspect", "-f", "{{.Size}}", image)) / 1e6
    print(f"{image}: {size:.0f} MB; load of this machine {os.getloadavg()[0]:.1f}\n")
    starts = [measure(image) for _ in range(STARTS)]
    print(f"| {STARTS} starts | median | lowest | highest |\n|---|---|---|---|")
    for name in starts[0]:
        found = [start[name] for start in starts]
        print(f"| {name} | {statistics.median(found):.3g} | {min(found):.3g} | {max(found):.3g} |")


if __name__ == "__main__":
    main(sys.argv[1])

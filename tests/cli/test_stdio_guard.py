"""Standard streams that are full, closed or without a reader, and outputs that are no files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.helpers.devices import device

RUN = [
    sys.executable,
    "-m",
    "loco_stream",
    "run",
    "csv:rows.csv?target=y",
    "--set",
    "hidden_sizes=4",
]

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


@pytest.fixture
def folder(tmp_path):
    lines = [f"{i % 5},{'ab'[i % 5 > 2]}" for i in range(50)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    return tmp_path


def shell(folder, redirection, *options):
    command = ["sh", "-c", f'"$@" {redirection}', "sh", *RUN, "--report", "report.json", *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def learned(folder):
    return json.loads((folder / "report.json").read_text())["n_samples"]


@pytest.mark.slow
def test_a_full_standard_output_is_reported_and_costs_no_report(folder):
    done = shell(folder, "> /dev/full")
    assert done.returncode == 1
    assert "cannot write to standard output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert learned(folder) == 50


@pytest.mark.slow
@pytest.mark.parametrize("redirection", [">&-", "2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_closed_streams_and_a_full_standard_error_change_nothing(folder, redirection):
    done = shell(folder, redirection, "--checkpoint", "state")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert learned(folder) == 50
    for path in (folder / "state").iterdir():  # no message went into a file
        assert b"csv:rows.csv:" not in path.read_bytes()


@pytest.mark.slow
def test_output_without_a_reader_is_discarded(folder):
    script = '{ "$@" 2>&1 >&3 | true; } 3>&1; "$@" 2>/dev/null | true'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *RUN, "--report", "report.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "50 samples" in done.stdout
    assert learned(folder) == 50


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--report", "--plot"])
def test_outputs_that_are_no_files_are_refused_before_the_run(folder, option):
    place = folder / "place.png"
    place.mkdir()
    for path, says in (
        (place, "it is a folder; name a file"),
        (folder / "none" / "x.png", "there is no folder"),
    ):
        done = subprocess.run(
            [*RUN, option, str(path)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 2
        assert f"{option}: cannot write {path}: {says}" in done.stderr
    assert place.is_dir()


@pytest.mark.slow
def test_a_device_and_a_link_are_written_through(folder):
    null = device(folder, "null")
    (folder / "link.png").symlink_to("picture.png")
    done = shell(
        folder, "", "--report", null, "--sink", f"jsonl:{null}", "--plot", "link.png", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    assert stat.S_ISCHR(os.stat(null).st_mode)
    assert (folder / "link.png").is_symlink()
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")

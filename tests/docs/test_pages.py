"""Every block of code in README.md and docs/ is run; the lines that are not are listed here."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import click
import pytest

from tests.helpers.pages import ROOT, Ports, blocks, commands, pages, shown, without_code, words
from tests.helpers.surroundings import LASTING, Section, write_files

PAGES = pages()
KNOWN = {
    "python",
    "console",
    "sh",
    "json",
    "text",
    "csv",
    "c",
    "cpp",
    "js",
    "{toctree}",
    "{eval-rst}",
}
HOW = {"python": {"", "start"}, "console": {"", "run", "start", "stop"}}
PROGRAMS = r"^(?:curl|node|gcc|redis-cli|redis-server|mosquitto|mosquitto_pub|influx)\b"
CLIENTS = {"cimpl", "confluent_kafka", "confluent_kafka.admin"}
NOT_RUN = {
    "sudo apt-get install": "installs packages of the system",
    "git clone": "fetches from the internet; this is what it fetched",
    "make demo": "tests/test_readme.py runs it",
    "make test": "runs this test",
    "make wheel": "compiles for minutes: tests/test_packaging.py does",
    "python3 -m venv": "installs: tests/test_packaging.py does, from what is shipped",
    "https://ntfy.sh": "posts to strangers",
    "--workers 4": "starts processes on Ray: tests/fleet does",
    "void loop()": "is for an Arduino",
    "&drop=host": "waits for Telegraf: tests/dashboard/test_http_api.py sends what it sends",
    "plant/rows": "waits for Node-RED: tests/connectors/sources/test_mqtt_source.py publishes",
    "opcua://plc": "needs a controller: tests/connectors/sources/test_opcua_source.py has one",
    "--otlp": "exports to a collector: tests/engine/test_telemetry.py has one",
    "podman": "fetches an image from the internet",
    "ipc:///run/fleet": "operates a running fleet: tests/cli/test_fleet_operations.py does",
    "loco-stream fleet export": "needs the fleet of a reader: tests/cli/test_fleet_operations.py",
    "loco-stream fleet merge": "needs the fleet of a reader: tests/cli/test_fleet_operations.py",
    "s3://bucket": "needs a bucket: tests/fleet/test_object_storage.py has one",
    "AWS_ACCESS_KEY_ID": "sets the reader's credentials",
    "partition-0003": "needs the partitions of a reader: tests/fleet/test_partitions.py",
    "pip install": "installs: tests/test_packaging.py does, from what is shipped",
    "pip wheel": "fetches packages from the registry",
    "loco-stream warm": "compiles for minutes: tests/cli/test_warm.py does",
    "ipc:///tmp/pump": "runs until it is stopped: tests/cli/test_watch.py does",
    "bin/loco-stream doctor": "is run a few lines below",
}
NOT_CODE = {"text", "{toctree}", "{eval-rst}"}
pytestmark = pytest.mark.skipif(not PAGES, reason="not run from a checkout")


def named(page):
    return page.relative_to(ROOT).as_posix()


def all_of(language):
    found = [block for page in PAGES for block in blocks(page) if block.language == language]
    return pytest.mark.parametrize("block", found, ids=[block.where for block in found])


def slow_if_programs_start(page):
    starts = any(block.language == "console" for block in blocks(page))
    return pytest.param(page, id=named(page), marks=[pytest.mark.slow] if starts else [])


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_each_block_says_what_it_is(page):
    for block in blocks(page):
        assert block.language in KNOWN, block.where
        known = block.how in HOW.get(block.language, {""}) or block.how.startswith("file=")
        assert known or block.language in NOT_CODE, block.where
    left = without_code(page)
    assert "```" not in left
    assert re.findall(r"(?:^|\n)\n {4}(?! *[-*] )\S.*", left) == [], (
        "code is fenced, so that it is found"
    )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_linked_are_there(page):
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", without_code(page)):
        assert "://" in link or (page.parent / link).exists(), f"{named(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_of_the_repository_that_are_named_are_there(page):
    folders = "loco_stream|connectors|demos|benchmarks|tests|docs"
    paths = set(re.findall(rf"`(?:[^`\n]* )?((?:{folders})/[\w./-]+\.\w+)", page.read_text()))
    assert [path for path in paths if not (ROOT / path).exists()] == []


@all_of("json")
def test_json_is_json(block):
    for line in [block.text] if block.text.startswith("[") else block.text.splitlines():
        json.loads(line)


@all_of("console")
def test_commands_are_taken(block):
    lines = commands(block)
    assert lines or block.how == "", block.where
    for line in lines:
        for program in words(line):
            check_program(program, block)


@all_of("sh")
def test_shell_lines_are_taken(block):
    for line in block.text.splitlines():
        for program in words(line):
            check_program(program, block)


def check_program(program, block):
    """Ask click, make or the benches whether they know the words, without running anything."""
    is_setting = re.compile(r"^[A-Z_]+=").match  # of the environment
    program = [word for word in program if not is_setting(word)]
    if program[:1] == ["loco-stream"]:
        from loco_stream._cli import main

        rest = program[1:]
        with main.make_context(
            "loco-stream", ["--help"] if not rest else rest[:1], resilient_parsing=True
        ) as above:
            command = main.get_command(above, rest[0])
            assert command is not None, f"{block.where}: {rest[0]}"
            understand(command, rest[1:], above, block)
    elif program[:1] == ["make"]:
        for target in program[1:]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), (
                f"{block.where}: make {target}"
            )
    elif program[:3] == ["python", "-m", "benchmarks"]:
        asked = [sys.executable, "-m", "benchmarks", *program[3:], "--help"]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.where}: {done.stderr}"


def understand(command, args, above, block):
    try:
        with command.make_context(command.name, list(args), parent=above) as context:
            if isinstance(command, click.Group):
                inner = [*context._protected_args, *context.args]
                found = command.get_command(context, inner[0])
                assert found is not None, f"{block.where}: {inner[0]}"
                understand(found, inner[1:], context, block)
    except click.exceptions.Exit:
        pass  # --help
    except click.UsageError as error:
        if not re.search(
            r"does not exist|No such file", error.format_message()
        ):  # files of the reader
            raise AssertionError(f"{block.where}: {error.format_message()}") from error


@all_of("python")
def test_programs_compile_and_import_what_is_there(block):
    if ">>>" in block.text:
        return
    compile(block.text, block.where, "exec")
    for line in re.findall(r"^from loco_stream[\w.]* import [\w, ]+$", block.text, re.M):
        exec(line, {})


def reason_not_to_run(line):
    return next((reason for part, reason in NOT_RUN.items() if part in line), None)


def is_typed(block):
    return block.language == "console" and block.how == ""


def test_what_is_not_run_is_listed_with_its_reason():
    left = [
        line
        for page in PAGES
        for block in blocks(page)
        if block.language in {"sh", "cpp"} or is_typed(block)
        for line in (commands(block) if block.language == "console" else block.text.splitlines())
        if block.language != "console" or reason_not_to_run(line)
    ]
    assert [line for line in left if not reason_not_to_run(line)] == []
    assert [part for part in NOT_RUN if not any(part in line for line in left)] == []


def close_to(expected, said):
    """Tell whether output is what the page shows; three dots stand for anything."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, said, flags)


def as_on_a_terminal(log):
    """Return log records as a terminal shows them: without the time, and INFO without the level."""
    log = re.sub(r"^\S+Z INFO ", "", log, flags=re.M)
    return re.sub(r"^\S+Z ([A-Z]+) ", lambda match: f"{match[1].lower()}: ", log, flags=re.M)


class Reader:
    """Somebody who types a page from its top to its end, in an empty folder."""

    def __init__(self, page, folder):
        self.folder, self.ports, self.names, self.started = folder, Ports(), {}, []
        self.environment = dict(
            os.environ, PATH=f"{folder.parent / 'bin'}:{os.environ['PATH']}", PYTHONPATH=str(ROOT)
        )
        self.page = page
        self.section = None

    def read(self):
        expected = blocks(self.page)
        if any(block.language == "console" for block in expected):
            write_files(self.folder, self.page.read_text())
        for _, together in groupby(expected, lambda block: block.section):
            self.read_section(list(together))

    def read_section(self, expected):
        typed = "".join(block.text for block in expected)
        auto = any(
            block.how == "start" if block.language == "python" else is_typed(block)
            for block in expected
        )
        if auto:  # a recipe of its own
            self.stop()
            self.section = Section(typed, self.folder, self.environment, self.ports)
        for block, following in zip(expected, [*expected, None][1:], strict=True):
            said = self.do(block)
            if said is not None and following is not None and following.language == "text":
                assert close_to(following.text, said), (
                    f"{following.where} shows\n{following.text}\nand not\n{said}"
                )
        if auto:
            self.section.finish()
            clients = [
                name for name, value in self.names.items() if type(value).__module__ in CLIENTS
            ]
            for name in clients:  # their broker is about to end
                del self.names[name]
            self.section.leave()
            self.section = None

    def do(self, block):
        if block.how.startswith("file="):
            (self.folder / block.how.removeprefix("file=")).write_text(self.ports.free(block.text))
        elif block.language == "python" and block.how == "start":
            self.section.listen(block.text)
        elif block.language == "python":
            return self.doctest(block) if ">>>" in block.text else self.program(block)
        elif is_typed(block):
            return self.type_in(block)
        elif block.how == "start":
            self.start(block)
        elif block.how in {"run", "stop"}:
            if block.how == "stop":
                self.stop()
            return self.run(block)
        return None

    def program(self, block):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(self.ports.free(block.text), block.where, "exec"), self.names)
        return said.getvalue()

    def doctest(self, block):
        test = doctest.DocTestParser().get_doctest(
            block.text, self.names, block.where, block.where, block.line
        )
        failures = []
        doctest.DocTestRunner().run(test, out=failures.append, clear_globs=False)
        assert not failures, "".join(failures)

    def run(self, block):
        return "".join(
            self.run_line(self.ports.free(line), block).stdout for line in commands(block)
        )

    def run_line(self, line, block):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{block.where}: {line}\n{done.stdout}{done.stderr}"
        return done

    def type_in(self, block):
        """Type the lines of a block, in a terminal of its own each that lasts."""
        said = ""
        for line in commands(block):
            if reason_not_to_run(line):
                continue
            if LASTING.match(line):
                self.section.launch(line)
            else:
                done = self.run_line(self.section.swap(line), block)
                said += done.stdout + as_on_a_terminal(done.stderr)
        expected = shown(block)
        assert not expected or close_to(expected, said), (
            f"{block.where} shows\n{expected}\nand not\n{said}"
        )

    def start(self, block):
        (line,) = commands(block)
        log = self.folder.parent / f"started-{len(self.started)}"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self.ports.free(line)}"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append((process, log, block))
        deadline = time.monotonic() + 120
        while log.stat().st_size == 0 and process.poll() is None:  # it logs when it listens
            assert time.monotonic() < deadline, block.where
            time.sleep(0.05)

    def stop(self):
        """End what was started, as Ctrl-C would."""
        for process, log, block in self.started:
            process.send_signal(signal.SIGINT) if process.poll() is None else None
            assert process.wait(60) == 0, f"{block.where}: {log.read_text()}"
        self.started.clear()

    def leave(self):
        for process, _, _ in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        if self.section is not None:
            self.section.leave()


@pytest.fixture
def bin_folder(tmp_path):
    """A folder with the commands of this installation, whatever PATH says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    own = {"loco-stream": f'"{sys.executable}" -m loco_stream', "python": f'"{sys.executable}"'}
    for name, words_ in {**own, "sensor-tool": "cat rows.csv; true"}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {words_} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def require_programs(page):
    """Skip a page whose programs are not on this machine.

    Where CI has to have installed them, fail.
    """
    needed = {
        word
        for block in blocks(page)
        if block.language == "console"
        for line in commands(block)
        for word in re.findall(PROGRAMS, line)
    }
    missing = sorted(name for name in needed if shutil.which(name) is None)
    if "gcc" in needed and not any(
        Path(root, "zmq.h").is_file() for root in ("/usr/include", "/usr/local/include")
    ):
        missing.append("libzmq3-dev")
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.mark.parametrize("page", [slow_if_programs_start(page) for page in PAGES])
def test_a_page_does_what_it_says(page, tmp_path, bin_folder, monkeypatch):
    require_programs(page)
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    reader = Reader(page, folder)
    try:
        reader.read()
        reader.stop()
    finally:
        reader.leave()


def test_pictures_of_the_guide_have_a_script():
    made = "".join(path.read_text() for path in [ROOT / "Makefile", *(ROOT / "docs").glob("*.py")])
    for page in PAGES:
        for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text()):
            assert Path(picture).stem in made, f"{named(page)}: {picture}"

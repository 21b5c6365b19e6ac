"""What README shows is what happens."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.ports import free_address, free_port

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def blocks():
    if not README.exists():  # the tests also run beside an installed wheel, without the repository
        pytest.skip("README.md is not here")
    return re.findall(r"```(\w*)\n(.*?)```", README.read_text(), re.S)


def test_the_examples_run(blocks):
    examples = [text for kind, text in blocks if kind == "python" and ">>>" in text]
    assert len(examples) >= 2
    for text in examples:
        test = doctest.DocTestParser().get_doctest(text, {}, "README", "README.md", 0)
        failures: list[str] = []
        doctest.DocTestRunner().run(test, out=failures.append)
        assert not failures, "".join(failures)


def test_the_sender_feeds_an_engine(blocks):
    from loco_stream import LOCOClassifier, StreamEngine
    from loco_stream.connectors import ZMQSource

    code = next(text for kind, text in blocks if kind == "python" and "ZMQSender" in text)
    source = ZMQSource("tcp://127.0.0.1:*", idle=5.0)
    try:
        exec(compile(code.replace("tcp://127.0.0.1:5555", source.address), "README.md", "exec"), {})
        report = StreamEngine(LOCOClassifier(hidden_sizes=(8,)), source).run(max_samples=1)
    finally:
        source.close()
    assert report.to_dict()["n_samples"] == 1


def fetched(url):
    """Return what is at a URL, as soon as somebody answers there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()
        except OSError:
            assert time.monotonic() < deadline, url
            time.sleep(0.1)


@contextmanager
def running(words, folder, sign):
    """Start a command that goes on until told to stop, and wait until it says the sign."""
    process = subprocess.Popen(words, cwd=folder, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        while sign not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def shell(blocks):
    """Every command of the README's shell blocks, as words, without its comment."""
    lines = "".join(text for kind, text in blocks if kind == "sh").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    assert [words[0] for words in commands].count("loco-stream") >= 4
    return commands


def only(commands, *beginning):
    (found,) = [words for words in commands if words[: len(beginning)] == list(beginning)]
    return [sys.executable, "-m", "loco_stream", *found[1:]]


def test_no_command_goes_untested(shell):
    known = [("git", "clone"), ("make", "demo"), ("loco-stream", "serve"), ("loco-stream", "keygen")]
    assert [words[:2] for words in shell if tuple(words[:2]) not in known and words[:2] != ["loco-stream", "run"]] == []
    assert sum(words[:2] == ["loco-stream", "run"] for words in shell) == 2


def test_a_table_is_learned_and_keys_are_made(shell, tmp_path):
    lines = [f"{i % 7},{'ab'[i % 7 > 3]}" for i in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["u,kind", *lines]) + "\n")
    for words in (("run", "csv:rows.csv?target=kind"), ("keygen",)):
        subprocess.run(only(shell, "loco-stream", *words), cwd=tmp_path, timeout=120, check=True, capture_output=True)
    made = {path.name for path in tmp_path.iterdir()}
    assert {"report.json", "report.png", "keys"} <= made


@pytest.mark.slow
def test_the_sender_feeds_a_run(shell, blocks, tmp_path):
    address = free_address()
    learn = only(shell, "loco-stream", "run", "zmq+pull://127.0.0.1:5555")
    words = [word.replace("127.0.0.1:5555", address) for word in learn]
    code = next(text for kind, text in blocks if kind == "python" and "ZMQSender" in text)
    with running(words, tmp_path, "at most once") as process:
        exec(compile(code.replace("127.0.0.1:5555", address), "README.md", "exec"), {})
        output, _ = process.communicate(timeout=120)  # it ends with its only sender
    assert process.returncode == 0, output
    assert "1 samples" in output


@pytest.mark.slow
def test_the_service_starts_answers_prometheus_and_ends(shell, tmp_path):
    address, metrics = free_address(), str(free_port())
    words = [
        word.replace("127.0.0.1:5555", address).replace("9100", metrics) for word in only(shell, "loco-stream", "serve")
    ]
    with running([*words, "--task", "classification"], tmp_path, "durability") as process:
        assert b"loco_rows_learned_total" in fetched(f"http://127.0.0.1:{metrics}/metrics")
        process.terminate()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


@pytest.mark.slow
def test_make_demo_ends_by_itself_with_a_report_and_a_picture(shell, tmp_path):
    assert ["make", "demo"] in shell
    recipe = ["make", "-f", str(README.with_name("Makefile")), "demo"]
    here = [f"BIN={Path(sys.executable).parent}", "-o", ".venv/.installed"]  # what is to be tested is installed here
    done = subprocess.run([*recipe, *here], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "2,310 samples" in done.stdout
    assert "browser" not in done.stdout  # nobody sits here
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.png"}


def test_the_benches_that_made_the_tables_take_these_options(blocks):
    quoted = re.findall(r"`python -m benchmarks ([^`]+)`", README.read_text())
    assert len(quoted) >= 4
    for words in quoted:
        run = [sys.executable, "-m", "benchmarks", *shlex.split(words), "--help"]
        result = subprocess.run(run, capture_output=True, text=True, cwd=README.parent, check=False)
        assert result.returncode == 0, result.stderr


def test_the_pictures_are_there():
    if not README.exists():
        pytest.skip("README.md is not here")
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README.read_text())
    assert len(pictures) == 2
    for picture in pictures:
        assert README.with_name("Makefile").read_text().count(picture) == 1  # made by `make pictures`
        assert (README.parent / picture).read_bytes().startswith(b"\x89PNG")

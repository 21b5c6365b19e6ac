"""What README shows is what happens."""

from __future__ import annotations

import doctest
import re
import shutil
from pathlib import Path

import pytest

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


def test_the_commands_exist(blocks):
    import click

    from loco_stream.cli import main

    shell = "\n".join(text for kind, text in blocks if kind == "sh")
    for name in set(re.findall(r"^loco-stream (\w+)", shell, re.M)):
        assert main.get_command(click.Context(main), name) is not None, name
    makefile = README.with_name("Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", shell, re.M)):
        assert f"\n{target}:" in makefile, target
    assert shutil.which("make")

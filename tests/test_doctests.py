"""Every example in a docstring runs as it is written."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re

import pytest

from tests.helpers.modules import modules

LONG = {  # compile models
    "loco_stream.neurons._definition.register",
    "loco_stream.testing._expert.check_expert",
    "loco_stream.testing._neuron.check_neuron",
}
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE


def with_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules():
        module = importlib.import_module(name)
        for test in finder.find(module, name, globs=dict(vars(module))):
            if test.examples:
                yield pytest.param(
                    test, id=test.name, marks=pytest.mark.slow if test.name in LONG else ()
                )


PUBLIC = [
    "loco_stream",
    *(
        f"loco_stream.{name}"
        for name in (
            "connectors",
            "dashboard",
            "drift",
            "engine",
            "engine.telemetry",
            "estimators",
            "fleet",
            "metrics",
            "metrics.scores",
            "monitor",
            "neurons",
            "records",
            "stream",
            "testing",
        )
    ),
]


@pytest.mark.parametrize("package", PUBLIC)
def test_everything_public_has_an_example(package):
    module = importlib.import_module(package)
    lacking = []
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            own = [inspect.getdoc(member) or "" for member in [thing, *vars(thing).values()]]
            beside = inspect.getsource(inspect.getmodule(thing))
            if not any(">>>" in text for text in own) and not re.search(
                rf">>>.*\b{name}\(", beside
            ):
                lacking.append(name)
    assert lacking == []


@pytest.mark.parametrize("example", list(with_examples()))
def test_example(example):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failures: list[str] = []
    runner.run(example, out=failures.append, clear_globs=False)
    assert not failures, "".join(failures)

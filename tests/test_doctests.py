"""Every example in a docstring runs as it is written."""

from __future__ import annotations

import doctest
import importlib

import pytest
from test_import import modules

FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE


def with_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules():
        module = importlib.import_module(name)
        for test in finder.find(module, name, globs=dict(vars(module))):
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("example", list(with_examples()))
def test_example(example):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failures: list[str] = []
    runner.run(example, out=failures.append, clear_globs=False)
    assert not failures, "".join(failures)

"""The examples in docstrings of the public API run and print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

from zkmargin import _MODULES

MODULES = sorted({*_MODULES, "zkmargin.engine.frames"})


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test.name for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 7, found

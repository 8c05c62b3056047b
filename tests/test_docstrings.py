"""Every public name has an example in its docstring, and all examples run and print what they say.

An example may use the names of the module it stands in, and those that the examples of its packages made: the one of
``zkmargin`` makes a market, a snapshot, a book and a proof.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

import zkmargin

ROOMS = [
    "zkmargin",
    *(f"zkmargin.{room.name}" for room in pkgutil.iter_modules(zkmargin.__path__) if room.ispkg),
    "zkmargin.verifier.attest",
    "zkmargin.verifier.chain",
]


def _public() -> dict[str, object]:
    """By its full name, every class and function that a room says is public; what two rooms have is taken once.

    Data and names of types (``Digest``) have no docstring to put an example in.
    """
    found: dict[int, tuple[str, object]] = {}
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(id(thing), (f"{room}.{name}", thing))
    return dict(found.values())


def _has_example(thing: object) -> bool:
    """In its own docstring, or that of one of its methods."""
    own = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
    return any(">>> " in (getattr(one, "__doc__", None) or "") for one in own)


def _modules() -> list[str]:
    """All that have an example, named by what is public; a package comes before its modules."""
    names = {getattr(inspect.unwrap(thing), "__module__", "") for thing in _public().values() if callable(thing)}
    return sorted({*ROOMS, *(name for name in names if name.startswith("zkmargin.")), "zkmargin.engine.frames"})


@cache
def _names_of(package: str) -> dict[str, object]:
    """What a module of a package may use: what it makes public, what its example made, and the same of those above."""
    above = package.rpartition(".")[0]
    names = dict(_names_of(above)) if above else {}
    module = importlib.import_module(package)
    if above:
        names |= {key: getattr(module, key) for key in getattr(module, "__all__", ())}
    if hasattr(module, "__path__") and ">>> " in (module.__doc__ or ""):
        names |= _run(module, module.__name__, module.__doc__ or "", names)
    return names


def _run(module: ModuleType, name: str, text: str, names: dict[str, object]) -> dict[str, object]:
    """The names that an example binds. Fails where it prints something else than it says."""
    test = doctest.DocTestParser().get_doctest(text, {**vars(module), **names}, name, str(module.__file__), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL, verbose=False)
    runner.run(test, out=said.append, clear_globs=False)
    assert runner.failures == 0, "".join(said)
    return {key: test.globs[key] for example in test.examples for key in _bound(example.source)}


def _bound(source: str) -> Iterator[str]:
    """What statements give a name to, outside of functions and comprehensions."""
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=targets):
                yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (name.asname or name.name for name in names)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder but for the demo's files of other programs."""
    for name in ("market_demo.csv", "span_demo.spn"):
        with resources.as_file(resources.files("zkmargin.cli").joinpath("samples", name)) as path:
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", _modules())
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    names = _names_of(name if hasattr(module, "__path__") else name.rpartition(".")[0])
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        if test.examples and test.name != name:
            _run(module, test.name, test.docstring or "", names)


@pytest.mark.parametrize("name", sorted(_public()))
def test_a_public_name_has_an_example(name: str) -> None:
    assert _has_example(_public()[name]), f"{name} has no example in its docstring"


def test_a_name_without_an_example_is_noticed() -> None:
    class Bare:
        """Says nothing.

        Example: none.
        """

        def method(self) -> None:
            """As little."""

    class Told(Bare):
        @classmethod
        def made(cls) -> Told:
            """One.

            >>> Told.made()
            """
            return cls()

    assert not _has_example(Bare)
    assert _has_example(Told)
    with pytest.raises(AssertionError, match="Expected"):
        _run(zkmargin, "wrong", ">>> 1 + 1\n3\n", {})

"""Documents with one container that is larger than the others, and what work on them comes to."""

from __future__ import annotations

import ast
import copy
import json
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from support.typed import Json, Passed


def containers(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of every JSON object and array; of an array's elements only the first two are looked into."""
    if isinstance(value, dict | list) and value:
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value[:2])
        for key, item in items:
            yield from containers(item, (*path, key))


def planted(document: Json, path: tuple[str | int, ...], size: int) -> bytes:
    """The document with one container enlarged by about ``size`` characters of what it holds already."""
    document = copy.deepcopy(document)
    target = document
    for key in path:
        target = target[key]
    last = target[-1] if isinstance(target, list) else target[next(reversed(target))]
    for i in range(size // (len(json.dumps(last)) + 8)):
        if isinstance(target, dict):
            target[f"X{i:x}"] = last
        elif isinstance(last, int):
            target.append(last + i + 1)
        elif isinstance(last, str):
            target.append(f"{last}{i}")
        else:
            target.append(last)
    return json.dumps(document, separators=(",", ":")).encode()


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, a piece of work calls."""
    count = 0

    def note(_frame: FrameType, _event: str, _arg: Passed) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def scans(source: str) -> Iterator[str]:
    """Calls of ``count`` and ``index`` inside a loop: each may look through a whole sequence, and nobody counts it."""

    def walk(node: ast.AST, *, inside: bool) -> Iterator[str]:
        if inside and isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            yield from [ast.unparse(node)] if name in ("count", "index") else []
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside=inside or isinstance(node, _LOOPS))

    if ".count(" in source or ".index(" in source:
        yield from walk(ast.parse(source), inside=False)

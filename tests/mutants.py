"""Mutants of a module of ours: which changes there are, and the module's syntax tree with one of them.

One operator, constant, condition or statement is changed at a time. ``mutant_runs`` runs tests on mutants;
``mutation`` says of which modules, and is the command.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """One change of one module: the place in its syntax tree (see ``_places``) and which change there."""

    module: str
    place: int
    choice: int
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.module.removeprefix('zkmargin.')}: {self.kind}: {self.text}"


COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def _places(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes in order, without what does not run: annotations, docstrings, the words of errors, descriptions."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            skipped.update(id(child) for child in ast.iter_child_nodes(node))
            continue
        dead: list[ast.AST | None] = []
        if isinstance(node, ast.AnnAssign):
            # inside Annotated there are bounds that do run
            dead.append(node if ast.unparse(node.annotation) == "TypeAlias" else node.annotation)
        elif isinstance(node, ast.arg):
            dead.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            dead.append(node.returns)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            dead += [node, node.value]
        elif isinstance(node, ast.Raise):
            dead.append(node.exc)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "cast":
            dead.append(node.args[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lru_cache":
            dead.append(node)  # how many results are remembered
        elif isinstance(node, ast.JoinedStr):
            dead += node.values
        elif isinstance(node, ast.keyword) and node.arg in ("field", "hint", "description", "repr"):
            dead.append(node.value)
        elif isinstance(node, (ast.Import, ast.ImportFrom)) or _is_of_names(node):
            dead.append(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            dead += [node, node.test]
        skipped.update(id(x) for x in dead if x is not None)
        if id(node) in skipped:
            skipped.update(id(child) for child in ast.iter_child_nodes(node))
        else:
            yield node


def _is_of_names(node: ast.AST) -> bool:
    """``__all__``, and names of types, of which only type checkers know."""
    return isinstance(node, ast.Assign) and (
        ast.unparse(node.targets[0]) in ("__all__", "Point") or ast.unparse(node.value).startswith("TypeVar(")
    )


def _changes(node: ast.AST) -> list[tuple[str, ast.AST]]:
    """(kind, replacement) for a node."""
    new: list[tuple[str, ast.AST]] = []
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[i] = COMPARE[type(op)]()
            new.append(("comparison", other))
    elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        new.append(("operator", ast.BinOp(node.left, BINARY[type(node.op)](), node.right)))
    elif isinstance(node, ast.BoolOp):
        new.append(("and/or", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)))
        new += [("term dropped", value) for value in node.values]
    elif isinstance(node, ast.UnaryOp):
        new.append(("sign or not", node.operand))
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        new.append(("constant", ast.Constant(node.value + 1)))
        new.append(("constant", ast.Constant(node.value - 1)))
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        new.append(("constant", ast.Constant(not node.value)))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        new.append(("text", ast.Constant(node.value + "x")))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        new.append(("text", ast.Constant(node.value + b"x")))
    elif isinstance(node, (ast.If, ast.IfExp)):
        for value in (True, False):
            other_if = copy.deepcopy(node)
            other_if.test = ast.Constant(value)
            new.append((f"condition {value}", other_if))
    elif isinstance(node, ast.Raise):
        new.append(("check removed", ast.Pass()))
    elif isinstance(node, (ast.Expr, ast.AugAssign, ast.For)):
        new.append(("statement dropped", ast.Pass()))
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        new.append(("returns None", ast.Return(ast.Constant(None))))
    return new


def source_of(module: str) -> tuple[Path, str]:
    """File and text."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return path, path.read_text("utf-8")


def mutants(module: str, kinds: Sequence[str] = ()) -> list[Mutant]:
    """All of a module, or those of some kinds."""
    found, source, seen = [], source_of(module)[1], Counter[str]()
    lines = source.splitlines()
    for place, node in enumerate(_places(ast.parse(source))):
        for choice, (kind, new) in enumerate(_changes(node)):
            if kinds and kind not in kinds:
                continue
            before, after = (" ".join(ast.unparse(x).split())[:110] for x in (node, new))
            line = getattr(node, "lineno", 0)
            where = f" in {lines[line - 1].strip()[:40]}" if isinstance(node, ast.Constant) else ""
            text = f"{before} -> {after}{where}"
            seen[text] += 1
            found.append(Mutant(module, place, choice, line, kind, text + (f" ({seen[text]})" * (seen[text] > 1))))
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """The module's tree with the change."""
    tree = ast.parse(source_of(mutant.module)[1])
    for place, node in enumerate(_places(tree)):
        if place == mutant.place:
            target, new = node, _changes(node)[mutant.choice][1]
            break
    else:
        raise LookupError(str(mutant))

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return ast.copy_location(new, node) if node is target else self.generic_visit(node)

    changed: ast.Module = Replace().visit(tree)
    return ast.fix_missing_locations(changed)


def function_of(mutant: Mutant) -> CodeType | None:
    """The code of the function whose body the mutant changes; None where the change is outside of any."""
    path, source = source_of(mutant.module)
    target = next(node for place, node in enumerate(_places(ast.parse(source))) if place == mutant.place)
    outer: ast.FunctionDef | None = None

    def search(node: ast.AST, within: ast.FunctionDef | None) -> None:
        nonlocal outer
        if _same(node, target):
            outer = within
        for child in ast.iter_child_nodes(node):
            body = isinstance(node, ast.FunctionDef) and child in node.body
            search(child, within or (node if body and isinstance(node, ast.FunctionDef) else None))

    search(ast.parse(source), None)
    if outer is None:
        return None
    first = min([outer.lineno, *(decorator.lineno for decorator in outer.decorator_list)])
    waiting = [compile(mutated(mutant), str(path), "exec")]
    while waiting:
        code = waiting.pop()
        if code.co_name == outer.name and code.co_firstlineno == first:
            return code
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return None


def _same(one: ast.AST, other: ast.AST) -> bool:
    """Whether two nodes of two readings of one source are one place."""
    return type(one) is type(other) and all(
        getattr(one, name, None) == getattr(other, name, None)
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")
    )

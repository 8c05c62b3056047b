"""Kernels compiled ahead: the machine code that one process made runs in the next one without numba.

numba takes a fifth of a second to import and five milliseconds to take up each kernel from its own cache. So what it
compiles is kept (``kept.py``) and called without it; numba is imported by the first kernel that nobody has compiled
yet. That is why the modules of this package name numba's things through this one: ``kernel``, ``intrinsic`` and
``types`` are promises, kept when something is compiled.

Each kernel is compiled once, with the kernels it calls left outside: they are called by their symbols, as are the
operations that ``share`` compiles. numba would copy all of them into every caller and compile them there again, which
is left to what a ``part`` is.
"""

from __future__ import annotations

import gc
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import RLock
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np

from zkmargin.prover._kernels.first_use import helped
from zkmargin.prover._kernels.kept import JIT_ENABLED, KEEPS, keep, keep_kernel, kept, latest

F = TypeVar("F", bound=Callable[..., object])

#: Flags of an array that machine code depends on: C layout, aligned, writeable; and F layout where it is not C.
_C_LAYOUT, _WITH_C, _WITHOUT_C = 0x1, 0x501, 0x503
_FLAGS = tuple(flags & (_WITH_C if flags & _C_LAYOUT else _WITHOUT_C) for flags in range(_WITHOUT_C + 1))
_LOCK = RLock()


class _Types:
    """numba's types by name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("numba.core.types"), name)


types: Any = _Types()


class Intrinsic:
    """A function that writes LLVM code into the kernels that call it: numba's ``intrinsic``, made when it is needed."""

    def __init__(self, typed: Callable[..., Any]) -> None:
        self._typed = typed

    @cached_property
    def made(self) -> Any:
        """What numba calls."""
        return importlib.import_module("numba.extending").intrinsic(self._typed)


def intrinsic(typed: Callable[..., Any]) -> Any:
    """An intrinsic for kernels of this package, ``typed`` as numba wants it."""
    return Intrinsic(typed)


#: What kernels share: the library of each symbol that was compiled here.
_SHARED: dict[str, Any] = {}


def share(codegen: Any, symbol: str, define: Callable[[Any], None]) -> None:
    """Compile a function that kernels call by its symbol, once in a process: ``define(module)`` writes it."""
    if symbol not in _SHARED:
        library = codegen.create_library(symbol)
        library.enable_object_caching()
        module = library.create_ir_module(symbol)
        define(module)
        library.add_ir_module(module)
        library.finalize()
        _SHARED[symbol] = library
        keep(symbol, library, {})


def kernel(function: F) -> F:
    """Compile on the first call for the types of its arguments, or take the machine code that is kept.

    Arguments are arrays, numbers and bools. When the private directory cannot be trusted, compiles in memory and says
    so in one RuntimeWarning.
    """
    return cast("F", Kernel(cast("FunctionType", function))) if JIT_ENABLED else function


def part(function: F) -> F:
    """A kernel of which each caller has a copy of its own, where a call would cost more: in the innermost loops."""
    return cast("F", Kernel(cast("FunctionType", function), apart=False)) if JIT_ENABLED else function


class Kernel:
    """A function and its machine code for each combination of argument types it was called with."""

    def __init__(self, function: FunctionType, *, apart: bool = True) -> None:
        self.function, self.apart = function, apart
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.__doc__ = function.__doc__
        self._ready: dict[tuple[object, ...], Callable[..., object]] = {}

    def __call__(self, *args: object) -> object:
        """The function's result."""
        key = _kinds(args)
        code = self._ready.get(key)
        return code(*args) if code is not None else self._first(key, args)(*args)

    def _first(self, key: tuple[object, ...], args: tuple[object, ...]) -> Callable[..., object]:
        with _LOCK:
            if key not in self._ready:
                self._ready[key] = self._found(_written(key)) or self._compiled(args)
            return self._ready[key]

    def _found(self, types: str) -> Callable[..., object] | None:
        if not KEEPS:
            return None
        if (found := kept().get((self.name, types))) is not None:
            return found
        return latest(self.name, types) if helped() else None

    def prepare(self, *args: object) -> None:
        """Compile for the types of these arguments and keep it, unless that was done."""
        if latest(self.name, _written(_kinds(args))) is None:
            self._compiled(args)

    def _compiled(self, args: tuple[object, ...]) -> Callable[..., object]:
        if any(type(a) is int and not -(1 << 63) <= a < 1 << 63 for a in args):  # numba would take it for another type
            raise OverflowError("an integer of more than 64 bits for a kernel")
        with _without_collector():
            self.compile(tuple(self.dispatcher.typeof_pyval(a) for a in args))
        return cast("Callable[..., object]", self.dispatcher)

    def compile(self, signature: tuple[Any, ...]) -> None:
        """Have numba compile the function for its types of arguments, and keep that on disk."""
        compiled = _compiled(self.dispatcher, signature)
        if KEEPS:
            keep_kernel(self.name, " ".join(_of_numba(one) for one in signature), compiled)

    @cached_property
    def dispatcher(self) -> Any:
        """The function as numba compiles it, with all that it calls here."""
        return self._dispatcher()

    def _dispatcher(self, **options: bool) -> Any:
        given = self.function
        names = {name: _promised(value) for name, value in given.__globals__.items() if name in given.__code__.co_names}
        plain = FunctionType(given.__code__, {**given.__globals__, **names}, given.__name__, given.__defaults__)
        plain.__module__, plain.__qualname__ = given.__module__, given.__qualname__
        if KEEPS:
            njit = importlib.import_module("numba").njit
            return njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(plain)
        return importlib.import_module("zkmargin.formats.kernel").kernel(plain)

    @cached_property
    def call(self) -> Any:
        """An intrinsic that calls the function by its symbol. numba's own way would compile it again in the caller."""
        inner = self._dispatcher(no_cpython_wrapper=True)

        def typed(typingctx: Any, *arguments: Any) -> Any:  # noqa: ARG001
            signature = tuple(types.unliteral(argument) for argument in arguments)
            compiled = self.dispatcher.overloads.get(signature) or inner.overloads.get(signature)
            if compiled is None:
                compiled = _compiled(inner, signature)
                keep(compiled.fndesc.mangled_name, compiled.library, {})

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                return context.call_internal(builder, compiled.fndesc, signature, args)

            return compiled.signature, codegen

        names = ["typingctx", *inspect.signature(self.function).parameters]
        return Intrinsic(with_parameters(typed, names)).made


def with_parameters(typed: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """The same function; numba sees parameters of these names, since it wants one for each argument."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return typed


def _compiled(dispatcher: Any, signature: tuple[Any, ...]) -> Any:
    """numba's result."""
    dispatcher.compile(signature)
    return dispatcher.overloads[signature]


@contextmanager
def _without_collector() -> Iterator[None]:
    """No search for cycles while numba works: most of its objects stay, and that took a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _kinds(args: tuple[object, ...]) -> tuple[object, ...]:
    """What code depends on of each argument, as numba sees it."""
    return tuple(
        [(a.dtype, a.ndim, _FLAGS[a.flags.num & _WITHOUT_C]) if type(a) is np.ndarray else type(a) for a in args]
    )


def _promised(value: object) -> object:
    """What numba knows for a promise; anything else as it is."""
    if isinstance(value, Kernel):
        return value.call if KEEPS and value.apart else value.dispatcher
    return value.made if isinstance(value, Intrinsic) else value


def _written(key: tuple[object, ...]) -> str:
    """Types as text."""
    parts = [
        f"{cast('Any', part[0]).str}[{part[1]}]{part[2]}" if isinstance(part, tuple) else cast("type", part).__name__
        for part in key
    ]
    return " ".join(parts)


def _of_numba(kind: Any) -> str:
    """``_written`` for one of numba's types."""
    if not isinstance(kind, types.Array):
        return {"int64": "int", "float64": "float"}.get(kind.name, str(kind.name))
    layout = {"C": _C_LAYOUT, "F": 0x2}.get(kind.layout, 0)
    flags = layout | (0x100 if kind.aligned else 0) | (0x400 if kind.mutable else 0)
    dtype = importlib.import_module("numba.np.numpy_support").as_dtype(kind.dtype)
    return f"{dtype.str}[{kind.ndim}]{flags}"

"""Kernels compiled ahead: the machine code that one process made runs in the next one without numba.

numba takes a fifth of a second to import and five milliseconds to take up each kernel from its own cache. So what it
compiles is kept here as it leaves the compiler, one object file for each kernel and the types it was called with.
A process that finds them links all at once with llvmlite, which is numba's own way into LLVM, and calls them; numba is
imported by the first kernel that nobody has compiled yet. That is why the modules of this package name numba's things
through this one: ``kernel``, ``intrinsic`` and ``types`` are promises, kept when something is compiled.

Machine code calls into three of numba's extension modules (allocation, exceptions, making a Python function of an
address), which load without the rest of numba. Which files are ours is decided by the folder: its name has a digest of
this package's sources, of numba's and llvmlite's versions, of the CPU, and of numba's settings in the environment. It
is private as ``formats/private_cache.py`` says, since whoever writes there runs code as the user.
"""

from __future__ import annotations

import builtins
import ctypes
import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from threading import RLock
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import binding

from zkmargin.formats.errors import InputError, SetupError
from zkmargin.formats.files import write_atomic
from zkmargin.formats.private_cache import private_version

F = TypeVar("F", bound=Callable[..., object])

#: With NUMBA_DISABLE_JIT=1 the public functions of this package use their plain-Python twins.
JIT_ENABLED = not int(os.environ.get("NUMBA_DISABLE_JIT") or 0)

#: Where object files were linked and run. Elsewhere numba keeps kernels in its own way, which takes longer to start.
_KEEPS = sys.platform == "linux"
_MAGIC = b"zkmargin kernel 1\0"
_DIGEST_BYTES = 32
_LENGTH = 4
_SUFFIX = ".kernel"
#: Flags of an array that machine code depends on: C layout, aligned, writeable; and F layout where it is not C.
_C_LAYOUT, _WITH_C, _WITHOUT_C = 0x1, 0x501, 0x503
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


def kernel(function: F) -> F:
    """Compile on the first call for the types of its arguments, or take the machine code that is kept.

    Arguments are arrays, numbers and bools. When the private directory cannot be trusted, compiles in memory and says
    so in one RuntimeWarning.
    """
    return cast("F", Kernel(cast("FunctionType", function))) if JIT_ENABLED else function


class Kernel:
    """A function and its machine code for each combination of argument types it was called with."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.__doc__ = function.__doc__
        self._ready: dict[tuple[object, ...], Callable[..., object]] = {}

    def __call__(self, *args: object) -> object:
        """The function's result."""
        key = tuple([_kind(a) for a in args])
        code = self._ready.get(key)
        return code(*args) if code is not None else self._first(key, args)(*args)

    def _first(self, key: tuple[object, ...], args: tuple[object, ...]) -> Callable[..., object]:
        with _LOCK:
            if key not in self._ready:
                self._ready[key] = _kept().get((self.name, _written(key))) or self._compiled(key, args)
            return self._ready[key]

    def _compiled(self, key: tuple[object, ...], args: tuple[object, ...]) -> Callable[..., object]:
        if any(type(a) is int and not -(1 << 63) <= a < 1 << 63 for a in args):  # numba would take it for another type
            raise OverflowError("an integer of more than 64 bits for a kernel")
        dispatcher = self.dispatcher
        signature = tuple(dispatcher.typeof_pyval(a) for a in args)
        dispatcher.compile(signature)
        _keep(self.name, _written(key), dispatcher.overloads[signature])
        return cast("Callable[..., object]", dispatcher)

    @cached_property
    def dispatcher(self) -> Any:
        """The function as numba compiles it, with all that it calls here."""
        given = self.function
        names = {name: _promised(value) for name, value in given.__globals__.items() if name in given.__code__.co_names}
        plain = FunctionType(given.__code__, {**given.__globals__, **names}, given.__name__, given.__defaults__)
        plain.__module__, plain.__qualname__ = given.__module__, given.__qualname__
        if _KEEPS:
            return importlib.import_module("numba").njit(nogil=True, error_model="numpy")(plain)
        return importlib.import_module("zkmargin.formats.kernel").kernel(plain)


def _kind(argument: object) -> object:
    """What code depends on of an argument, as numba sees it."""
    if type(argument) is not np.ndarray:
        return type(argument)
    flags = argument.flags.num
    return argument.dtype, argument.ndim, flags & (_WITH_C if flags & _C_LAYOUT else _WITHOUT_C)


def _promised(value: object) -> object:
    """What numba knows for a promise; anything else as it is."""
    if isinstance(value, Kernel):
        return value.dispatcher
    return value.made if isinstance(value, Intrinsic) else value


def _written(key: tuple[object, ...]) -> str:
    """Types as text."""
    parts = [
        f"{cast('Any', part[0]).str}[{part[1]}]{part[2]}" if isinstance(part, tuple) else cast("type", part).__name__
        for part in key
    ]
    return " ".join(parts)


# --- the CPU --------------------------------------------------------------------------------------------------


def cpu() -> tuple[str, str]:
    """Name and features, LLVM's words, of the CPU that is compiled for: this one, if numba's settings name no other."""
    if _settings():
        target = importlib.import_module("numba.core.registry").cpu_target
        _, name, features = target.target_context.codegen().magic_tuple()
        return str(name), str(features)
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("NUMBA_")}


# --- what is kept ---------------------------------------------------------------------------------------------


@cache
def _folder() -> Path | None:
    """Where machine code for these sources, versions and this CPU is kept; None if it cannot be trusted."""
    here = Path(__file__).parent
    versions = [_place(name) / "_version.py" for name in ("numba", "llvmlite")]
    said = [json.dumps([sys.version, *cpu(), sorted(_settings().items())]).encode()]
    digest = hashlib.sha256()
    for content in (*said, *(path.read_bytes() for path in (*versions, *sorted(here.glob("*.py"))))):
        digest.update(len(content).to_bytes(8, "big") + content)
    try:
        return private_version("kernels", digest.hexdigest()[:16])
    except SetupError as error:
        warnings.warn(f"{error.message}; kernels are compiled anew in each process", RuntimeWarning, stacklevel=2)
        return None


def _place(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ImportError(f"{package} is not installed")
    return Path(found.origin).parent


def _keep(name: str, types: str, compiled: Any) -> None:
    """Write what numba made of a kernel to the folder, all or nothing."""
    folder, constants = _folder() if _KEEPS else None, compiled.environment.consts
    if folder is None or not all(isinstance(constant, np.dtype) for constant in constants):
        return
    _, _, (code, _) = compiled.library.serialize_using_object_code()
    head = json.dumps(
        {
            "name": name,
            "types": types,
            "wrapper": compiled.fndesc.llvm_cpython_wrapper_name,
            "environment": compiled.fndesc.env_name,
            "constants": [constant.str for constant in constants],
            "ndarray": importlib.import_module("numba.core.serialize").dumps(np.ndarray).hex(),
        }
    ).encode()
    body = len(head).to_bytes(_LENGTH, "big") + head + code
    file = hashlib.sha256(f"{name} {types}".encode()).hexdigest()[:16] + _SUFFIX
    try:
        write_atomic(folder / file, _MAGIC + hashlib.sha256(body).digest() + body, secret=True)
    except InputError:
        return  # it is compiled again next time


def _read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """Head and machine code of a file; None for a damaged one."""
    data = path.read_bytes()
    start = len(_MAGIC) + _DIGEST_BYTES
    body = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(body).digest():
        return None
    length = _LENGTH + int.from_bytes(body[:_LENGTH], "big")
    return json.loads(body[_LENGTH:length]), body[length:]


@cache
def _kept() -> dict[tuple[str, str], Callable[..., object]]:
    """Everything that was kept when this process first asked, linked, by name and types."""
    folder = _folder() if _KEEPS else None
    if folder is None:
        return {}
    found = {one[0]["wrapper"]: one for path in sorted(folder.glob(f"*{_SUFFIX}")) if (one := _read(path)) is not None}
    if not found:
        return {}
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    runtime = _Runtime({bytes.fromhex(head["ndarray"]) for head, _ in found.values()})
    library = binding.JITLibraryBuilder().add_current_process()
    for symbol, address in runtime.symbols.items():
        library.import_symbol(symbol, address)
    for head, code in found.values():
        library.add_object_img(code)
        library.export_symbol(head["wrapper"]).export_symbol(head["environment"])
    linker = binding.create_lljit_compiler()
    try:
        linked = library.link(linker, "kernels")
    except RuntimeError as error:
        warnings.warn(
            f"kept kernels cannot be linked, so they are compiled anew: {error}", RuntimeWarning, stacklevel=2
        )
        return {}
    alive = (linker, linked, runtime)
    return {
        (head["name"], head["types"]): runtime.function(
            head["name"], linked[head["wrapper"]], linked[head["environment"]], head["constants"], alive
        )
        for head, _ in found.values()
    }


class _Runtime:
    """The parts of numba that machine code needs when it runs."""

    def __init__(self, ndarray: set[bytes]) -> None:
        place = _place("numba")
        self._ndarray = ndarray
        self._object = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(self._named)
        self._functions = _extension(place, "_dynfunc")
        helpers = _extension(place, "_helperlib").c_helpers | self._functions.c_helpers
        memory = _extension(place / "core" / "runtime", "_nrt_python")
        memory.memsys_use_cpython_allocator()  # as numba does: it may come later and share it
        exceptions = [x for x in vars(builtins).values() if isinstance(x, type) and issubclass(x, BaseException)]
        #: What machine code names, and where it is. By the name of an exception it means the class itself.
        self.symbols = {
            **{f"numba_{name}": address for name, address in helpers.items()},
            **{name if name[0] == "_" else f"NRT_{name}": address for name, address in memory.c_helpers.items()},
            **{f"PyExc_{exception.__name__}": id(exception) for exception in exceptions},
            "numba_unpickle": ctypes.cast(self._object, ctypes.c_void_p).value or 0,
        }

    def _named(self, address: int, length: int, _digest: int) -> object:
        """The object that machine code has in writing: the type of the arrays it makes, or an error, for numba."""
        data = ctypes.string_at(address, length)
        if data in self._ndarray:
            return np.ndarray
        return importlib.import_module("numba.core.serialize")._numba_unpickle(address, data, data)  # noqa: SLF001

    def function(
        self, name: str, wrapper: int, environment: int, constants: list[str], keep: object
    ) -> Callable[..., object]:
        """A Python function of the address of the wrapper that numba put around a kernel.

        What the wrapper needs to make results of, the types of arrays, it finds at the address ``environment``.
        """
        holder = self._functions.Environment({})
        holder.consts.extend(np.dtype(constant) for constant in constants)
        ctypes.c_void_p.from_address(environment).value = id(holder)
        module = sys.modules[__name__]
        made = self._functions.make_function(module, name.rpartition(".")[2], "", wrapper, holder, (keep, holder))
        return cast("Callable[..., object]", made)


def _extension(folder: Path, name: str) -> ModuleType:
    """An extension module of numba by its file, without the packages around it."""
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        if (path := folder / f"{name}{suffix}").exists():
            loader = importlib.machinery.ExtensionFileLoader(name, str(path))
            module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))  # type: ignore[arg-type]
            loader.exec_module(module)
            return module
    raise ImportError(f"numba's {name} is not where it was")

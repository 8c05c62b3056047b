"""Machine code on disk: what numba compiled for one process, linked by the next one without numba.

Each compiled function is one object file with a head that says what it is; kernels call each other, and operations
that they share, by symbol. A process that finds files links all at once with llvmlite, which is numba's own way into
LLVM. The code calls into three of numba's extension modules (allocation, exceptions, making a Python function of an
address), which load without the rest of numba.

Which files are ours is decided by the folder: its name has a digest of this package's sources, of numba's and
llvmlite's versions, of the CPU, and of numba's settings in the environment. It is private as
``formats/private_cache.py`` says, since whoever writes there runs code as the user.
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
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from llvmlite import binding

from zkmargin.formats.errors import SetupError
from zkmargin.formats.private_cache import private_version

#: With NUMBA_DISABLE_JIT=1 the public functions of this package use their plain-Python twins.
JIT_ENABLED = not int(os.environ.get("NUMBA_DISABLE_JIT") or 0)
#: Where object files were linked and run. Elsewhere numba keeps kernels in its own way, which takes longer to start.
KEEPS = sys.platform == "linux"
_MAGIC = b"zkmargin kernel 2\0"
_DIGEST_BYTES = 32
_LENGTH = 4
_SUFFIX = ".kernel"
#: Symbols that were compiled in this process.
_MADE: set[str] = set()

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
def folder() -> Path | None:
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


def keep(symbol: str, library: Any, about: dict[str, Any]) -> None:
    """Write what numba made of a function to the folder, all or nothing; ``about`` it for ``kept``."""
    _MADE.add(symbol)
    place = folder() if KEEPS else None
    if place is None:
        return
    _, _, (code, bitcode) = library.serialize_using_object_code()
    module = binding.parse_bitcode(bitcode)
    needs = [f.name for f in module.functions if f.is_declaration and f.name in _MADE]
    head = json.dumps({"symbol": symbol, "needs": needs, **about}).encode()
    body = len(head).to_bytes(_LENGTH, "big") + head + code
    file = hashlib.sha256(symbol.encode()).hexdigest()[:16] + _SUFFIX
    part = place / f".{file}.{os.getpid()}.part"
    try:
        # all or nothing, and not waiting for the disk: a file that a crash damaged has another digest
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(_MAGIC + hashlib.sha256(body).digest() + body)
        part.replace(place / file)
    except OSError:
        return  # it is compiled again next time
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def keep_kernel(name: str, types: str, compiled: Any) -> None:
    """``keep`` numba's result for a kernel and types of arguments."""
    constants = compiled.environment.consts
    if all(isinstance(constant, np.dtype) for constant in constants):
        about = {
            "name": name,
            "types": types,
            "wrapper": compiled.fndesc.llvm_cpython_wrapper_name,
            "environment": compiled.fndesc.env_name,
            "constants": [constant.str for constant in constants],
            "ndarray": importlib.import_module("numba.core.serialize").dumps(np.ndarray).hex(),
        }
        keep(compiled.fndesc.mangled_name, compiled.library, about)


def _read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """Head and machine code of a file; None for a damaged one, or one that is gone by now."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST_BYTES
    body = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(body).digest():
        return None
    length = _LENGTH + int.from_bytes(body[:_LENGTH], "big")
    return json.loads(body[_LENGTH:length]), body[length:]


def _whole() -> dict[str, tuple[dict[str, Any], bytes]]:
    """Head and code of every file, by symbol, of which nothing that it calls is missing."""
    place = folder() if KEEPS else None
    if place is None:
        return {}
    read = [one for path in sorted(place.glob(f"*{_SUFFIX}")) if (one := _read(path)) is not None]
    found = {head["symbol"]: (head, code) for head, code in read}
    while lacking := [s for s, (head, _) in found.items() if not found.keys() >= set(head["needs"])]:
        for symbol in lacking:
            del found[symbol]
    return found


@cache
def kept() -> dict[tuple[str, str], Callable[..., object]]:
    """Everything that was kept when this process first asked, linked, by name and types."""
    return _linked(_whole())


def latest(name: str, types: str) -> Callable[..., object] | None:
    """A kernel that was kept since then, with all that it calls; None if there is none."""
    whole = _whole()
    wanted = [s for s, (head, _) in whole.items() if head.get("name") == name and head["types"] == types][:1]
    for symbol in wanted:
        wanted += [s for s in whole[symbol][0]["needs"] if s not in wanted]
    return _linked({symbol: whole[symbol] for symbol in wanted}).get((name, types))


def _linked(found: dict[str, tuple[dict[str, Any], bytes]]) -> dict[tuple[str, str], Callable[..., object]]:
    kernels = [head for head, _ in found.values() if "name" in head]
    if not kernels:
        return {}
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    runtime = _Runtime({bytes.fromhex(head["ndarray"]) for head in kernels})
    library = binding.JITLibraryBuilder().add_current_process()
    for symbol, address in runtime.symbols.items():
        library.import_symbol(symbol, address)
    for _, code in found.values():
        library.add_object_img(code)
    for head in kernels:
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
        for head in kernels
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

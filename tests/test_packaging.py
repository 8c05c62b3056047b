"""What must hold of the project as a whole: whose names these are, what is allowed in, who imports whom."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlparse

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
#: Folders on top, which are linked into zkmargin/ and import as zkmargin.<folder>.
LINKED: list[str] = sorted(WHEEL["sources"])
PACKAGES: list[str] = sorted(WHEEL["only-include"])
IMPORTED = ["zkmargin", *(f"zkmargin.{name}" for name in ("crypto", "formats", *LINKED))]

MAX_FILE_BYTES = 1_000_000
NOT_OURS = {".nbc", ".nbi", ".pyc"}  # caches beside the source


def project_files() -> list[Path]:
    folders = [ROOT / name for name in (*PACKAGES, ".ci", "benchmarks", "docs", "tests")]
    nested = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    top = (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    # os.walk and so rglob enter no link to a folder: what zkmargin/ links to is counted once
    ours = (path for path in (*top, *nested) if path.suffix not in NOT_OURS)
    return sorted(path for path in ours if "node_modules" not in path.parts)


def library_files() -> list[Path]:
    return [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Names


@pytest.mark.parametrize("name", IMPORTED)
def test_what_is_imported_is_of_our_distribution(name: str) -> None:
    owners = importlib.metadata.packages_distributions().get("zkmargin", [])
    assert set(owners) <= {"zkmargin"}
    distribution = importlib.metadata.distribution("zkmargin")
    origin = importlib.import_module(name).__file__
    assert origin is not None
    source = json.loads(distribution.read_text("direct_url.json") or "{}")
    if source.get("dir_info", {}).get("editable"):
        home = Path(unquote(urlparse(source["url"]).path))
    else:
        home = Path(str(distribution.locate_file("")))
    assert Path(origin).resolve() == (home.joinpath(*name.split(".")) / "__init__.py").resolve()


def test_package_is_typed() -> None:
    assert (ROOT / "zkmargin" / "py.typed").is_file()


def test_every_tool_knows_the_same_packages() -> None:
    tools = PROJECT["tool"]
    assert tools["mypy"]["packages"] == ["zkmargin"]
    assert tools["importlinter"]["root_package"] == "zkmargin"
    assert tools["importlinter"]["contracts"][0]["exhaustive"]  # so that a new room must take its place
    # contracts/ is built and tested from the checkout; what is installed of it is compiled, in zkmargin/
    packages = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - {"contracts"})
    assert packages == PACKAGES == sorted(["zkmargin", *LINKED])
    assert WHEEL["exclude"] == [*(f"/zkmargin/{name}" for name in LINKED), "mutants.toml"]  # of the tests' only
    assert WHEEL["sources"] == {name: f"zkmargin/{name}" for name in LINKED}


@pytest.mark.parametrize("name", LINKED)
def test_the_checkout_links_each_folder_into_the_package(name: str) -> None:
    link = ROOT / "zkmargin" / name
    if "zkmargin" in sys.modules and Path(sys.modules["zkmargin"].__file__ or "").is_relative_to(ROOT):
        assert link.is_symlink(), f"{link} is no link: a checkout without symbolic links cannot be imported from"
        assert link.readlink() == Path("..") / name


def test_no_folder_of_the_users_is_imported_in_our_place(tmp_path: Path) -> None:
    for name in ("engine", "circuits", "crypto", "prover", "verifier"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the file of a user was imported')")
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "__init__.py").write_text("raise RuntimeError('the folder of a user was imported')")
    script = "import sys, zkmargin; [getattr(zkmargin, name) for name in zkmargin.__all__]; print(*sys.path[:1])"
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr  # the current folder comes first


def test_the_one_top_level_name_is_nobody_elses_on_a_disk_that_folds_case() -> None:
    """``crypto/`` beside pycryptodome's ``Crypto/`` was one folder on such a disk; .ci/wheel looks into the wheel."""
    installed = {*WHEEL["sources"].values(), *(set(PACKAGES) - set(LINKED))}
    assert {name.split("/")[0] for name in installed} == {"zkmargin"}
    others = {
        name: owners
        for name, owners in importlib.metadata.packages_distributions().items()
        if name.casefold() == "zkmargin" and set(owners) != {"zkmargin"}
    }
    assert others == {}


def test_lock_pins_every_requirement_to_an_allowed_version() -> None:
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    locked = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = PROJECT["project"]
    groups = [PROJECT["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()]
    for text in itertools.chain(*groups):
        requirement = Requirement(text)
        if requirement.name != "zkmargin":
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), text


def test_make_lock_installs_every_extra_that_a_target_installs() -> None:
    """Or a new lock would pin nothing of it."""
    recipe = re.compile(r"pip install -qq '\.\[([a-z,]+)\]'|\$\(PIP_INSTALL\) --editable '\.\[([a-z,]+)\]'")
    found = recipe.findall((ROOT / "Makefile").read_text())
    (locked,) = [set(lock.split(",")) for lock, _ in found if lock]
    installed = {extra for _, extras in found for extra in extras.split(",") if extra}
    assert len(installed) > 3
    assert installed <= locked


# Contents

# Code that runs what it reads, and randomness that can be predicted.
FORBIDDEN_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "numpy.random", "pickle", "random", "shelve"}
FORBIDDEN_CALLS = {"__import__", "compile", "eval", "exec", "yaml.load", "yaml.unsafe_load"}


def forbidden_uses(source: str) -> list[str]:
    """The forbidden modules and calls in a source text, under whatever name they were imported."""
    tree = ast.parse(source)
    aliases: dict[str, str] = {}
    found: list[str] = []

    def within(module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in FORBIDDEN_MODULES)

    def dotted(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{dotted(node.value)}.{node.attr}"
        return aliases.get(node.id, node.id) if isinstance(node, ast.Name) else ""

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if within(name.name)]
            aliases.update({name.asname: name.name for name in node.names if name.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            full = {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
            found += [name for name in full.values() if within(name)]
            aliases.update(full)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and within(dotted(node)):
            found.append(dotted(node))
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            keywords = {word.arg for word in node.keywords if not _is_false(word.value)}
            if name in FORBIDDEN_CALLS:
                found.append(name)
            elif "allow_pickle" in keywords:
                found.append(f"{name}(allow_pickle)")
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "Random":
                found.append(name)  # galois: field elements from numpy's generator
    return found


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", library_files(), ids=relative)
def test_library_neither_runs_data_nor_draws_predictable_randomness(path: Path) -> None:
    assert forbidden_uses(path.read_text()) == []


@pytest.mark.parametrize("module", sorted(FORBIDDEN_MODULES))
def test_forbidden_module_is_found_however_it_is_imported(module: str) -> None:
    parent, _, child = module.rpartition(".")
    assert forbidden_uses(f"import {module}")
    assert forbidden_uses(f"import {module} as alias")
    assert forbidden_uses(f"from {module} " + "import anything as alias")
    if parent:
        assert forbidden_uses(f"from {parent} import {child} as alias")
        assert forbidden_uses(f"import {parent} as alias\nalias.{child}.anything()")


@pytest.mark.parametrize("call", sorted(FORBIDDEN_CALLS))
def test_forbidden_call_is_found(call: str) -> None:
    module, _, name = call.rpartition(".")
    assert forbidden_uses(f"value = {call}(data)")
    if module:
        assert forbidden_uses(f"from {module} import {name} as alias\nalias(data)")


@pytest.mark.parametrize(
    "source", ["np.load(file, allow_pickle=True)", "np.load(file, allow_pickle=flag)", "GF.Random(3)"]
)
def test_forbidden_argument_is_found(source: str) -> None:
    assert forbidden_uses(source)


@pytest.mark.parametrize(
    "source", ["re.compile(pattern)", "import secrets\nsecrets.token_bytes(32)", "np.load(file, allow_pickle=False)"]
)
def test_innocent_code_passes(source: str) -> None:
    assert forbidden_uses(source) == []


def test_no_file_is_large() -> None:
    assert [relative(path) for path in project_files() if path.stat().st_size > MAX_FILE_BYTES] == []


# A home folder or a drive, and what a machine mounts at its root.
MACHINE_PATH = re.compile(r"""(?<![\w.~/$}*-])(?:/(?:home|Users|root|work|mnt|workspace)/\w|[A-Z]:\\\w)""")


def test_no_text_names_a_path_of_somebodys_machine() -> None:
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = MACHINE_PATH.search(text)
        assert found is None, f"{relative(path)}: {text[found.start() : found.start() + 60].splitlines()[0]}"


@pytest.mark.parametrize("path", ["home/ann/x", "Users/ann/x", "root/x", "work/main"])
def test_path_of_a_machine_is_found(path: str) -> None:
    assert MACHINE_PATH.search(f'open("/{path}")')
    assert not MACHINE_PATH.search(f"docs/{path}")


# Who imports whom


def test_layers_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("module", ["zkmargin.verifier", "zkmargin", "zkmargin.cli"])
def test_verifying_loads_no_prover_and_no_compiler(module: str) -> None:
    """The auditor's path stays small, independent of our kernels, and quick to start."""
    script = f"import sys, {module}; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()).isdisjoint({"galois", "llvmlite", "numba", "zkmargin.prover", "py_ecc"})


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph("zkmargin", cache_dir=None)
    remaining = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    assert len(remaining) > 200
    while free := [module for module, imported in remaining.items() if not imported & remaining.keys()]:
        for module in free:
            del remaining[module]
    assert sorted(remaining) == []


def test_the_picture_of_rooms_is_what_import_contracts_say() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("\n    cli/")
    picture = (text[1] + text[2]).partition("\n\n")[0].splitlines()
    shown = [line.split()[0].removeprefix("zkmargin/").removesuffix(".py").rstrip("/") for line in picture if line]
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = (contract["layers"] for contract in config["contracts"] if contract["type"] == "layers")
    place = {room: number for number, layer in enumerate(layers) for room in layer.split(" | ")}
    assert sorted(shown) == sorted(set(place) - {"__main__"})
    assert [place[room] for room in shown] == sorted(place[room] for room in shown)

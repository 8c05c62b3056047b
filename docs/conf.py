"""The documentation site: ``make docs`` builds it, strictly, into build/docs."""

from __future__ import annotations

from pathlib import Path

import click
from docutils import nodes
from sphinx.application import Sphinx

import zkmargin
from zkmargin.cli import cli

HERE = Path(__file__).parent

project = "zkmargin"
author = "the zkmargin authors"
project_copyright = "Apache-2.0"
release = zkmargin.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["assurance/*", "man"]
nitpicky = False
html_theme = "furo"
html_title = "zkmargin"
html_extra_path = ["benchmarks.svg", "policy.schema.json", "soak.json"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

#: The notebook is run anew in every build, and a cell that fails, fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

REFERENCE = HERE / "reference"


def commands(group: click.Group, path: tuple[str, ...] = ("zkmargin",)) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, in the order of the work."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    context = click.Context(group, info_name=path[-1])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise ValueError(f"{name} is listed and not there")
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


def write_commands() -> None:
    """The reference of commands: what ``--help`` says, made from the commands themselves."""
    lines = ["# Commands", "", "Made from the commands themselves: this is what `--help` says.", ""]
    for words, command in commands(cli):
        parent: click.Context | None = None
        for word in words[:-1]:
            parent = click.Context(cli, info_name=word, parent=parent)
        context = click.Context(command, info_name=words[-1], parent=parent, max_content_width=90, terminal_width=90)
        lines += [f"{'#' * min(len(words), 4)} {' '.join(words)}", "", "```text", command.get_help(context), "```", ""]
    (REFERENCE / "commands.md").write_text("\n".join(lines), "utf-8")


def write_api() -> None:
    """The reference of the Python API: everything that ``zkmargin`` exports, in its own order."""
    lines = ["# Python API", "", "Everything here is imported from `zkmargin`.", ""]
    for name in zkmargin.__all__:
        value = getattr(zkmargin, name)
        if name.startswith("__") or isinstance(value, str):
            continue
        directive, options = ("autoclass", ":members:") if isinstance(value, type) else ("autofunction", "")
        if isinstance(value, type) and issubclass(value, BaseException):
            directive, options = "autoexception", ""
        lines += [f"## {name}", "", "```{eval-rst}", f".. {directive}:: {value.__module__}.{value.__qualname__}"]
        lines += [f"   {options}"] if options else []
        lines += ["```", ""]
    (REFERENCE / "api.md").write_text("\n".join(lines), "utf-8")


def source_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Links to files of the repository that are no pages become their names."""
    del app, docname
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith(".."):
            link.replace_self(nodes.literal(text=link.astext()))


def setup(app: Sphinx) -> None:
    """Make the references before the sources are read."""
    REFERENCE.mkdir(exist_ok=True)
    write_commands()
    write_api()
    app.connect("doctree-resolved", source_links)

"""Names of what has no narrower type: a test that needs one says which it means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

#: What ``json.loads`` gives: tests look into it as deep as the document goes.
Json: TypeAlias = Any
#: A JSON object.
JsonObject: TypeAlias = dict[str, Any]
#: A keyword argument that is handed on as it came, to a function that has its type.
Passed: TypeAlias = Any
#: Keyword arguments by name.
Keywords: TypeAlias = dict[str, Any]
#: The fixture ``conformance_family``: the files of one family of published data.
Family: TypeAlias = Callable[[str], list[Path]]
#: The fixture ``conformance_report``: family, number of cases, worst error.
Report: TypeAlias = Callable[[str, int, object], None]
#: A module, or a class of it, that is compiled in memory or loaded by name: out of every type checker's sight.
Unchecked: TypeAlias = Any
#: Draws an example of a strategy, as ``st.DrawFn`` and ``st.DataObject.draw`` do.
Draw: TypeAlias = Callable[..., Any]

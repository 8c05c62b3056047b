"""Write what the TypeScript client is generated from, or compare: ``python -m web.client.describe [--check]``.

``openapi.json`` is what a service answers under ``/openapi.json``; ``schema.ts`` follows from it by openapi-typescript,
which ``web/package-lock.json`` pins (needs node and ``npm ci`` in web/).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from zkmargin.service.app import create_app
from zkmargin.service.settings import Limits

HERE = Path(__file__).resolve().parent
DESCRIPTION, TYPES = HERE / "openapi.json", HERE / "schema.ts"


def description() -> str:
    """The description, which depends on no service's files."""
    desk: Any = SimpleNamespace(settings=SimpleNamespace(limits=Limits()))
    app = create_app(desk, cast("Any", SimpleNamespace(desk=desk, metrics=None, check_alone=None)))
    return json.dumps(app.openapi(), indent=1, sort_keys=True) + "\n"


def types() -> str:
    """The types that follow from ``openapi.json``."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "schema.ts"
        command = [
            "npx",
            "--no-install",
            "openapi-typescript",
            str(DESCRIPTION),
            "--default-non-nullable",
            "false",
            "-o",
            str(target),
        ]
        subprocess.run(command, cwd=HERE.parent, check=True, capture_output=True)
        return target.read_text("utf-8")


def main() -> None:
    """Write, or compare with ``--check``."""
    for path, make in ((DESCRIPTION, description), (TYPES, types)):
        made = make()
        if sys.argv[1:] != ["--check"]:
            path.write_text(made, "utf-8")
        elif path.read_text("utf-8") != made:
            sys.exit(f"error: {path.name} is not what the service says: run python -m web.client.describe")
    print("the TypeScript client's types are the service's")


if __name__ == "__main__":
    main()

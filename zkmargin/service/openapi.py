"""The OpenAPI description: bodies are documents of ours, whose schemas their own models say."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from zkmargin.client.documents import Change, Coverage, Event, Submission
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations

DOCUMENTS: tuple[type[Document], ...] = (
    *(Attestation, Challenge, Change, Coverage, Event, Receipt, Revocations, Submission),
)
_AT = "#/components/schemas/{model}"


def _ref(kind: type[Document]) -> dict[str, str]:
    return {"$ref": _AT.format(model=kind.__name__)}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def body(kind: type[Document]) -> dict[str, Any]:
    """A call that takes a document."""
    return _body(_ref(kind))


def published() -> dict[str, Any]:
    """The call that publishes a snapshot."""
    properties = {"snapshot": _ref(Snapshot), "attestation": _ref(Attestation)}
    return _body({"type": "object", "required": list(properties), "properties": properties})


def batch() -> dict[str, Any]:
    """The call that submits several proofs."""
    properties = {"submissions": {"type": "array", "items": _ref(Submission)}}
    return _body({"type": "object", "required": list(properties), "properties": properties})


@cache
def schemas() -> dict[str, Any]:
    """Of every document, and of what is inside."""
    kinds = [(kind, "validation") for kind in DOCUMENTS]
    _, found = models_json_schema(kinds, ref_template=_AT)  # type: ignore[arg-type]
    defined: dict[str, Any] = found["$defs"]
    # its arrays are base64 with a shape, which pydantic cannot describe: docs/formats.md does
    return defined | {"Snapshot": {"type": "object", "title": "Snapshot", "description": f"format {Snapshot.FORMAT}"}}


def describe(app: FastAPI) -> None:
    """Add the schemas of documents to what FastAPI says of an application."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        found = plain()
        components = found.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in schemas().items():
            components.setdefault(name, schema)
        return found

    app.openapi = whole  # type: ignore[method-assign]

"""The OpenAPI description: bodies are documents of ours, whose schemas their own models say."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from zkmargin.accounts import Commitment
from zkmargin.app.evidence import Evidence
from zkmargin.client import answers
from zkmargin.client.documents import Coverage, Event, Submission
from zkmargin.client.orders import Change
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations
from zkmargin.verifier.venue.terms import VenueTerms

DOCUMENTS: tuple[type[Document], ...] = (
    *(Attestation, Challenge, Change, Commitment, Coverage, Event, Receipt, Revocations, Submission, VenueTerms),
)
ANSWERS: tuple[type[BaseModel], ...] = (
    *(answers.AccountLine, answers.AccountView, answers.AuditLine, answers.FaultBody, answers.ProofLine),
    *(answers.RefusalLine, answers.ServiceInfo, answers.SnapshotLine, answers.TokenInfo, answers.TokenLine),
    *(answers.Verdicts, answers.WebhookLine),
)
_AT = "#/components/schemas/{model}"
Json = dict[str, Any]


def _ref(kind: type[BaseModel]) -> Json:
    return {"$ref": _AT.format(model=kind.__name__)}


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(kind: type[BaseModel]) -> Json:
    return {"type": "array", "items": _ref(kind)}


TEXT: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}


def answer(schema: type[BaseModel] | Json, *statuses: int) -> dict[int | str, Json]:
    """What a call answers where it is done: by default with 200."""
    found = schema if isinstance(schema, dict) else _ref(schema)
    said = {"description": "done", "content": {"application/json": {"schema": found}}}
    return dict.fromkeys(statuses or (200,), said)


def page(kind: type[BaseModel]) -> Json:
    """A part of a list."""
    return _object(items=_list(kind), next={"type": ["integer", "null"]})


def listed(name: str, kind: type[BaseModel]) -> Json:
    """A whole list under a name."""
    return _object(**{name: _list(kind)})


def roster() -> Json:
    """Every account, and the newest event's number."""
    return _object(accounts=_list(answers.AccountLine), newest_event=INTEGER)


def facts(**kinds: Json) -> Json:
    """A small object."""
    return _object(**kinds)


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def body(kind: type[Document]) -> dict[str, Any]:
    """A call that takes a document."""
    return _body(_ref(kind))


def published() -> dict[str, Any]:
    """The call that publishes a snapshot."""
    return _body(snapshot())


def snapshot() -> Json:
    """A snapshot and who signed it."""
    return _object(snapshot=_ref(Snapshot), attestation=_ref(Attestation))


def batch() -> dict[str, Any]:
    """The call that submits several proofs."""
    return _body(listed("submissions", Submission))


def asked_challenges() -> dict[str, Any]:
    """The call that asks for challenges."""
    return _body({"type": "object", "properties": {"count": INTEGER, "lifetime_seconds": INTEGER}})


def venue_proof() -> dict[str, Any]:
    """The call that submits a proof of every account."""
    given = _object(terms=_ref(VenueTerms), snapshot=TEXT, challenge=TEXT, proof=TEXT)
    given["properties"] |= {"commitments": _list(Commitment), "attestations": _list(Attestation)}
    return _body(given)


@cache
def schemas() -> dict[str, Any]:
    """Of every document, and of what is inside."""
    kinds = [(kind, "validation") for kind in (*DOCUMENTS, *ANSWERS)]
    _, found = models_json_schema(kinds, ref_template=_AT)  # type: ignore[arg-type]
    defined: dict[str, Any] = found["$defs"]
    # its arrays are base64 with a shape, which pydantic cannot describe: docs/formats.md does
    for kind in (Snapshot, Evidence):
        form: Json = {"type": "string", "enum": [kind.FORMAT, *kind.READS]}
        said = f"format {kind.FORMAT}, of docs/formats.md"
        whole = {"type": "object", "title": kind.__name__, "description": said, "additionalProperties": True}
        defined[kind.__name__] = whole | {"required": ["format"], "properties": {"format": form}}
    return defined


def describe(app: FastAPI) -> None:
    """Add the schemas of documents to what FastAPI says of an application."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        found = plain()
        found.setdefault("components", {})["schemas"] = dict(sorted(schemas().items()))
        refused = {"description": "an error", "content": {"application/json": {"schema": _ref(answers.FaultBody)}}}
        for operations in found["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # what FastAPI would say: ours says it as every error
                operation["responses"]["default"] = refused
        return found

    app.openapi = whole  # type: ignore[method-assign]

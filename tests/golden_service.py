"""Golden files of what a venue's service and its callers exchange."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from support.typed import JsonObject

from zkmargin.client.documents import Claimed, Coverage, CoveragePayload, Event, EventPayload, Submission, Terms
from zkmargin.client.orders import Change, ChangePayload
from zkmargin.crypto import ed25519, secp256k1
from zkmargin.crypto.keys import PublicKey, SecretSigner
from zkmargin.formats import Document

FOLDER = Path(__file__).parent / "data" / "golden" / "service"
TIME, DESK, ACCOUNT = "2026-01-02T03:04:05Z", "clearing desk", "market maker"
LIMIT = "headroom >= 2001/2"


def signer() -> SecretSigner:
    """The desk's key: as public as this file."""
    secret = b"golden: a key that guards nothing"[:32]
    return SecretSigner(PublicKey(name=DESK, scheme="ed25519", public_key=ed25519.public_key(secret).hex()), secret)


def wallet() -> SecretSigner:
    """An operator's key in a wallet."""
    secret = b"golden: a wallet that is nobody's"[:32]
    return SecretSigner(
        PublicKey(name="operator", scheme="secp256k1", public_key=secp256k1.public_key(secret).hex()), secret
    )


def digest(byte: int) -> str:
    """A digest of nothing."""
    return f"{byte:02x}" * 32


def make_documents() -> dict[str, Document]:
    """Every document by its file."""
    terms = Terms(ratio="5/4", limits=(LIMIT,), period_seconds=60, grace_seconds=10)
    action: JsonObject = {"kind": "register-account", "account": ACCOUNT, "terms": terms.model_dump(mode="json")}
    action["keys"] = [signer().public.to_json()]
    order = {"service": DESK, "sequence": 7, "time": TIME, "action": action}
    token = {"kind": "issue-token", "name": "agent", "role": "account", "account": ACCOUNT, "digest": digest(9)}
    event = {"service": DESK, "number": 8, "time": TIME, "kind": "state", "account": ACCOUNT}
    covered: list[JsonObject] = [
        {"sequence": 7, "time": TIME, "snapshot": digest(1), "statement": digest(2)},
        {"sequence": 8, "time": "2026-01-02T03:04:10Z", "snapshot": digest(3), "statement": None},
    ]
    coverage = {"service": DESK, "account": ACCOUNT, "series": "main", "trust": digest(4), "head": digest(5)}
    coverage |= {"begin": TIME, "end": "2026-01-02T03:05:05Z", "time": "2026-01-02T03:05:06.250Z"}
    return {
        "golden.submission.json": Submission(
            account=ACCOUNT,
            challenge=digest(1),
            snapshot=digest(2),
            commitment=digest(3),
            claim=Claimed(ratio="5/4", requirement="maintenance", limits=(LIMIT,)),
            proof=base64.b64encode(bytes(range(64))).decode(),
        ),
        "register.change.json": Change(payload=ChangePayload.model_validate(order)).signed(signer()),
        "token.change.json": Change(payload=ChangePayload.model_validate(order | {"action": token})).signed(wallet()),
        "state.event.json": Event(
            payload=EventPayload.model_validate(event | {"state": "late", "previous": "due", "until": TIME})
        ).signed(signer()),
        "golden.coverage.json": Coverage(
            payload=CoveragePayload.model_validate(
                coverage
                | {"terms": terms.model_dump(mode="json"), "head_number": 42, "snapshots": covered}
                | {"proven": 1, "largest_gap_ms": 60_000}
            )
        ).signed(signer()),
    }


def make_all() -> dict[str, bytes]:
    """Every file by name."""
    documents = make_documents()
    digests = {name: document.digest().hex() for name, document in documents.items()}
    files = {name: document.to_bytes() for name, document in documents.items()}
    return files | {"digests.json": json.dumps(digests, indent=1).encode() + b"\n"}

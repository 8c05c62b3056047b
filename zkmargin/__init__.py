"""Zero-knowledge margin proofs: a hidden book is covered by hidden collateral against public risk arrays.

The public Python API, all of it importable from here and loaded when first used::

    from zkmargin import Claim, Statement, build_snapshot, commit_book, load_policy, prove, verify

``import zkmargin`` itself loads nothing: no compiler, no curve, no terminal tables.

The examples of all docstrings are run, and go on from these names (those of a package's modules also from the names of
the package's own example):

>>> from zkmargin import Book, Claim, Statement, build_snapshot, commit_book, load_policy, prove, to_lots, verify
>>> from zkmargin.engine.example import example_book, example_market
>>> market = example_market("2026-01-02T03:04:05Z")
>>> snapshot = build_snapshot(market, load_policy("default"))
>>> book = Book.model_validate(example_book(market))
>>> lots = to_lots(book, snapshot)
>>> opening = commit_book(snapshot, book)
>>> commitment = opening.commitment()
>>> statement = Statement.of(snapshot, [commitment], Claim("1.1"))
>>> proof = prove(statement, book, [opening])
>>> verify(statement, proof).statement.claim
Claim(num=11, den=10, requirement='initial')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zkmargin.accounts import Commitment, Opening, commit_book
    from zkmargin.accounts.holder import migrate_opening, update_opening
    from zkmargin.accounts.updates import Migration, Update, apply_migration, apply_update
    from zkmargin.crypto.keys import PublicKey, SecretKey, Signer
    from zkmargin.engine.book import Book, BookLots, load_book, to_lots
    from zkmargin.engine.books import Books
    from zkmargin.engine.claims import Claim
    from zkmargin.engine.explain import ArrayRow, pnl_surface, risk_array
    from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
    from zkmargin.engine.frames import Surface
    from zkmargin.engine.greeks import GreekReport, greek_report
    from zkmargin.engine.importers import import_arrays, import_book, import_file, import_market
    from zkmargin.engine.limits import Limit
    from zkmargin.engine.margin import MarginReport, margin_report
    from zkmargin.engine.market import Market
    from zkmargin.engine.policy import Policy, load_policy, policy_names
    from zkmargin.engine.publishing.snapshots import build_snapshot, build_snapshot_from_arrays, check_snapshot
    from zkmargin.engine.risk_arrays import RiskArrays
    from zkmargin.engine.snapshot import Snapshot
    from zkmargin.engine.universe import Universe
    from zkmargin.formats import (
        ConstraintError,
        InputError,
        ProofFormatError,
        SetupError,
        VerificationError,
        ZkMarginError,
        load_document,
        save_document,
    )
    from zkmargin.ledger import Ledger
    from zkmargin.prover import prove
    from zkmargin.prover.breach import prove_breach
    from zkmargin.risk.liquidation import plan_liquidation
    from zkmargin.risk.margins import Margins, margin_many
    from zkmargin.risk.plans import Plan, Terms
    from zkmargin.verifier import Accepted, Statement, Workers, verify, verify_batch, verify_each
    from zkmargin.verifier.attest import (
        Acceptance,
        Attestation,
        Challenge,
        CommitmentPayload,
        Known,
        Memory,
        Receipt,
        SnapshotPayload,
        Trust,
        accept,
    )
    from zkmargin.verifier.breach import BreachStatement, verify_breach

#: Said wherever the version is said.
AUDIT_STATUS = "unaudited"

_MODULES = {
    "zkmargin.crypto.keys": ("PublicKey", "SecretKey", "Signer"),
    "zkmargin.engine.book": ("Book", "BookLots", "load_book", "to_lots"),
    "zkmargin.engine.books": ("Books",),
    "zkmargin.engine.explain": ("ArrayRow", "pnl_surface", "risk_array"),
    "zkmargin.engine.frames": ("Surface",),
    "zkmargin.engine.fills": ("Fills", "add_fills", "fills_to_lots"),
    "zkmargin.engine.greeks": ("GreekReport", "greek_report"),
    "zkmargin.engine.importers": ("import_arrays", "import_book", "import_file", "import_market"),
    "zkmargin.engine.limits": ("Limit",),
    "zkmargin.engine.margin": ("Claim", "MarginReport", "margin_report"),
    "zkmargin.engine.market": ("Market",),
    "zkmargin.engine.policy": ("Policy", "load_policy", "policy_names"),
    "zkmargin.engine.publishing.snapshots": ("build_snapshot", "build_snapshot_from_arrays", "check_snapshot"),
    "zkmargin.engine.risk_arrays": ("RiskArrays",),
    "zkmargin.engine.snapshot": ("Snapshot",),
    "zkmargin.engine.universe": ("Universe",),
    "zkmargin.formats": (
        "ConstraintError",
        "InputError",
        "ProofFormatError",
        "SetupError",
        "VerificationError",
        "ZkMarginError",
        "load_document",
        "save_document",
    ),
    "zkmargin.prover": ("Opening", "commit_book", "prove"),
    "zkmargin.accounts.holder": ("migrate_opening", "update_opening"),
    "zkmargin.risk.liquidation": ("plan_liquidation",),
    "zkmargin.risk.plans": ("Plan", "Terms"),
    "zkmargin.risk.margins": ("Margins", "margin_many"),
    "zkmargin.prover.breach": ("prove_breach",),
    "zkmargin.verifier.breach": ("BreachStatement", "verify_breach"),
    "zkmargin.verifier": ("Accepted", "Commitment", "Statement", "Workers", "verify", "verify_batch", "verify_each"),
    "zkmargin.verifier.attest": (
        "Acceptance",
        "Attestation",
        "Challenge",
        "CommitmentPayload",
        "Known",
        "Memory",
        "Receipt",
        "SnapshotPayload",
        "Trust",
        "accept",
    ),
    "zkmargin.accounts.updates": ("Migration", "Update", "apply_migration", "apply_update"),
    "zkmargin.ledger": ("Ledger",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # noqa: RUF022 - the order of a proof's way through the house
    "AUDIT_STATUS",
    "__version__",
    "Market",
    "import_book",
    "import_file",
    "import_market",
    "RiskArrays",
    "import_arrays",
    "Policy",
    "load_policy",
    "policy_names",
    "Universe",
    "Snapshot",
    "build_snapshot",
    "build_snapshot_from_arrays",
    "check_snapshot",
    "Book",
    "BookLots",
    "load_book",
    "to_lots",
    "Claim",
    "MarginReport",
    "margin_report",
    "Books",
    "Margins",
    "margin_many",
    "Terms",
    "Plan",
    "plan_liquidation",
    "BreachStatement",
    "prove_breach",
    "verify_breach",
    "GreekReport",
    "greek_report",
    "ArrayRow",
    "risk_array",
    "Surface",
    "pnl_surface",
    "Limit",
    "Opening",
    "commit_book",
    "prove",
    "Fills",
    "fills_to_lots",
    "add_fills",
    "update_opening",
    "Update",
    "apply_update",
    "migrate_opening",
    "Migration",
    "apply_migration",
    "Commitment",
    "Statement",
    "Accepted",
    "verify",
    "verify_batch",
    "verify_each",
    "Workers",
    "PublicKey",
    "SecretKey",
    "Signer",
    "Attestation",
    "SnapshotPayload",
    "CommitmentPayload",
    "Trust",
    "Challenge",
    "Acceptance",
    "accept",
    "Known",
    "Memory",
    "Receipt",
    "Ledger",
    "load_document",
    "save_document",
    "ZkMarginError",
    "InputError",
    "SetupError",
    "ConstraintError",
    "ProofFormatError",
    "VerificationError",
]


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - a verifier starts sooner without it

    try:
        return metadata.version("zkmargin")
    except metadata.PackageNotFoundError:  # run from the source folder without an installation
        return "0+source"


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

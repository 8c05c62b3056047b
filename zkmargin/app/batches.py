"""A list of proofs to verify together."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from zkmargin.formats import Document, Model, Seq

MAX_PROOFS = 4096


class BatchItem(Model):
    """One proof and its statement, as `zkmargin verify` takes them; paths are relative to the list's folder."""

    proof: str = Field(min_length=1)
    snapshot: str = Field(min_length=1)
    commitments: Seq[str] = Field(min_length=1)
    claim: str = "1.0"
    requirement: str = "initial"
    limits: Seq[str] = ()
    context: str = ""


class BatchList(Document):
    """What to verify together. Public."""

    FORMAT: ClassVar[str] = "zkmargin/batch/v1"

    proofs: Seq[BatchItem] = Field(min_length=1, max_length=MAX_PROOFS)

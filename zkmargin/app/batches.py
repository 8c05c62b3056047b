"""A list of proofs to verify together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.formats import Document, InputError, Model, Seq, Since

MAX_PROOFS = 4096


class BatchItem(Model):
    """One proof and its statement, as `zkmargin verify` takes them; paths are relative to the list's folder.

    With ``attestations`` (of the snapshot and each part) and ``challenge``, both of version 2, a trust file and a
    ledger judge it. With ``terms``, of version 2 too, it is a venue's proof: they say what is claimed, and
    ``commitments`` are those that they name, in their order.
    """

    proof: str = Field(min_length=1)
    snapshot: str = Field(min_length=1)
    commitments: Seq[str] = ()
    claim: str = "1.0"
    requirement: str = "initial"
    limits: Seq[str] = ()
    context: str = ""
    attestations: Annotated[Seq[str], Since(2), Field(max_length=1024)] = ()
    challenge: Annotated[str | None, Since(2)] = None
    terms: Annotated[str | None, Since(2)] = None

    def check(self, where: str) -> None:
        """Raises InputError: nothing that the proof could be about, or a claim beside a venue's terms."""
        if self.terms is None and not self.commitments:
            raise InputError("missing: what the proof is about", field=f"{where}.commitments")
        typed = {"claim", "requirement", "limits"} & self.model_fields_set
        if self.terms is not None and typed:
            raise InputError("a venue's terms say what is claimed", field=f"{where}.{min(typed)}")


class BatchList(Document):
    """What to verify together. Public. Written in version 1 where nothing in it is of version 2."""

    FORMAT: ClassVar[str] = "zkmargin/batch/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/batch/v1",)

    proofs: Seq[BatchItem] = Field(min_length=1, max_length=MAX_PROOFS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for place, item in enumerate(self.proofs):
            item.check(f"proofs[{place}]")
        return self

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """The lowest version that can say it."""
        items = data.get("proofs") or ()
        later = any(_of_second(item) for item in items) if isinstance(items, (list, tuple)) else False
        return cls.FORMAT if later else cls.READS[0]


def _of_second(item: object) -> bool:
    if isinstance(item, BatchItem):
        return bool(item.attestations) or item.challenge is not None or item.terms is not None
    return isinstance(item, dict) and bool(item.keys() & {"attestations", "challenge", "terms"})

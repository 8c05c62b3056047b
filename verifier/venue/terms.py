"""The terms of a venue proof: the public file that says which accounts there are and what is proved of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from zkmargin.accounts.commitments import Commitment
from zkmargin.circuits.venue import BlockClass, Limits, Options, RatioText, common_denominator, headroom_of
from zkmargin.circuits.venue import Ratio as ClaimRatio
from zkmargin.formats import Digest, Document, InputError, Model, PlainName, Seq

MAX_CLASSES = 64
MAX_DENSE = 4096
#: Accounts of all classes together; a proof of so many has 250 MB.
MAX_ALL_ACCOUNTS = 1 << 24
#: Column sets of all classes: what a hostile file of terms can make a verifier count.
MAX_SETS = 1 << 16
#: The last piece of T has n + g + 1 coefficients, and provers keep tables of n + 8 powers.
MIN_GROUP, MAX_GROUP = 1, 7

WholeNumber = Annotated[str, StringConstraints(pattern=r"^(0|-?[1-9][0-9]{0,39})$")]


class DenseAccount(Model):
    """A large account: its commitment and its claim.

    Attributes:
        commitment: digest of the commitment document (hex).
        claim: equity : requirement, or None where nothing is claimed of it.
        limits: as of a class.
    """

    commitment: Digest
    claim: RatioText | None = "1"
    limits: Limits = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        headroom_of(self.limits, self.claim)
        if self.claim is not None and str(ClaimRatio.parse(self.claim)) != self.claim:
            raise InputError("not in lowest terms", field="claim")
        return self


class VenueTerms(Document):
    """Everything public about a venue proof that is neither snapshot, setup nor context.

    Attributes:
        venue: the venue's name; tags and notes name it.
        requirement: which requirement every claim is about.
        domain_size: n, rows of a column; the snapshot's.
        digit_bits: k, every bounded integer is looked up in 2^k values digit by digit; at least log2 n.
        helper_group: g, how many columns share a helper commitment.
        classes: block accounts, in order; account numbers run on through all of them.
        dense: large accounts, after them.
        net: [N] what all books together sum to, in lots, as texts; None where it is not proved.
        totals: [M] what all held balances sum to, in lots, as texts; None where it is not proved.
        cap: the most that all shortfalls together may be, valuation units (10^-13 quote), as text; None without.
        exempt: how many accounts may miss their claim, unnamed; None without.

    Version 2 has limits; terms without any are written in version 1, which verifiers before it read.
    """

    FORMAT: ClassVar[str] = "zkmargin/venue-terms/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/venue-terms/v1",)

    venue: PlainName = Field(min_length=1, max_length=200)
    requirement: Literal["initial", "maintenance"]
    domain_size: int = Field(ge=8, le=4096)
    digit_bits: int = Field(ge=3, le=22)
    helper_group: int = Field(ge=MIN_GROUP, le=MAX_GROUP)
    classes: Seq[BlockClass] = Field(max_length=MAX_CLASSES)
    dense: Seq[DenseAccount] = Field(default=(), max_length=MAX_DENSE)
    net: Seq[WholeNumber] | None = None
    totals: Seq[WholeNumber] | None = None
    cap: WholeNumber | None = None
    exempt: int | None = Field(default=None, ge=0, le=MAX_ALL_ACCOUNTS)

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """The version that says everything of the content."""
        lists = (data.get("classes"), data.get("dense"))  # nobody has looked at them yet: they may be anything
        stated = (one for some in lists if isinstance(some, list | tuple) for one in some)
        limited = any(getattr(one, "limits", ()) for one in stated)
        return cls.FORMAT if limited else cls.READS[0]

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = self.domain_size
        if n & (n - 1):
            raise InputError("not a power of two", field="domain_size")
        if 1 << self.digit_bits < n:
            raise InputError(f"below log2 of the {n} rows", field="digit_bits")
        if not self.classes and not self.dense:
            raise InputError("a venue without accounts", field="classes")
        if sum(spec.accounts for spec in self.classes) > MAX_ALL_ACCOUNTS:
            raise InputError(f"more than {MAX_ALL_ACCOUNTS} accounts", field="classes")
        if len({spec.name for spec in self.classes}) != len(self.classes):
            raise InputError("a name appears twice", field="classes")
        if len({account.commitment for account in self.dense}) != len(self.dense):
            raise InputError("one commitment for two accounts", field="dense")
        for spec in self.classes:
            if spec.block > n:
                raise InputError(f"a block of {spec.block} rows in {n}", field=f"class {spec.name}: block")
        if sum(-(-spec.accounts * spec.block // n) for spec in self.classes) > MAX_SETS:
            raise InputError(
                f"more than {MAX_SETS} column sets", field="classes", hint="larger domains, smaller blocks"
            )
        if self.cap is not None and int(self.cap) < 0:
            raise InputError("below 0", field="cap")
        if any(int(total) < 0 for total in self.totals or ()):
            raise InputError("below 0", field="totals")
        if self.cap is not None and self.exempt is not None:
            raise InputError(
                "a cap and exemptions together: an exempt account's deficit would be outside the cap", field="exempt"
            )
        return self

    @property
    def options(self) -> Options:
        """What templates depend on."""
        dense = [ClaimRatio.parse(account.claim) for account in self.dense if account.claim is not None]
        return Options(
            digit_bits=self.digit_bits,
            den=common_denominator([*self.classes, *dense]),
            exempt=self.exempt is not None,
            cap=None if self.cap is None else int(self.cap),
            totals=self.totals is not None,
            copies=max((spec.block // spec.slots for spec in self.classes), default=1),
        )

    def check_commitments(self, commitments: tuple[Commitment, ...]) -> None:
        """Raises InputError unless these are the dense accounts' commitments, in order."""
        if tuple(c.digest().hex() for c in commitments) != tuple(account.commitment for account in self.dense):
            raise InputError("not the commitments that the terms name, in their order", field="dense")

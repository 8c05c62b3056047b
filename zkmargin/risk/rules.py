"""Rules as data, and what follows from them: how scan ranges, multipliers and matrices follow from daily closes.

Numbers are integers: moves and volatilities in 1e-9, variances in 1e-18, parts in basis points or 1e-4.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.base import Selective
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.names import Name
from zkmargin.formats import Digest, Document, FrozenMap, InputError, Map, Model, Seq, Since
from zkmargin.risk.history import UNIT

#: One basis point in 1e-9.
BP = UNIT // SCALE_BP
#: Scan ranges beyond this are a mistake: prices stay above 0.
MAX_SCAN_BP = 9_900
#: Vols do not rise by more than tenfold in one scenario.
MAX_VOL_SCAN_BP = 10 * SCALE_BP


class Quantile(Model):
    """A quantile of absolute moves over ``horizon_days``, of the last ``look_back_days``."""

    level_bp: int = Field(gt=0, le=SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)
    look_back_days: int = Field(ge=10, le=10_000)


class Volatility(Model):
    """A multiple of the EWMA volatility; ``lambda_1e4`` is the weight of the day before, in 1e-4."""

    lambda_1e4: int = Field(default=9_700, gt=0, lt=SCALE_BP)
    multiple_1e4: int = Field(default=30_000, gt=0, le=20 * SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)


class Stressed(Model):
    """Art. 28(1)(b): a weight of a quarter at least for the scan of a stressed period."""

    first: str
    last: str
    weight_bp: int = Field(default=2_500, ge=2_500, le=SCALE_BP)


class Buffer(Model):
    """Art. 28(1)(a): the buffer that is exhausted while levels rise above what was applied before."""

    buffer_bp: int = Field(default=2_500, ge=2_500, le=10 * SCALE_BP)


class VolScan(Model):
    """How far implied vols move: a quantile of absolute relative moves of a history of vols, and a floor.

    The vol moves of the base policy's grid are scaled so that the largest is this range.
    """

    level_bp: int = Field(gt=0, le=SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)
    look_back_days: int = Field(ge=10, le=10_000)
    floor_bp: int = Field(default=0, ge=0, le=MAX_VOL_SCAN_BP)


class Regimes(Model):
    """A stressed regime multiplies the scan; hysteresis keeps it from flickering.

    Attributes:
        enter_1e4, leave_1e4: EWMA volatility over the long-run one (of all days), in 1e-4.
        stressed_1e4: what the scan is multiplied by in the stressed regime, in 1e-4.
    """

    enter_1e4: int = Field(gt=0)
    leave_1e4: int = Field(gt=0)
    stressed_1e4: int = Field(ge=SCALE_BP, le=10 * SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.leave_1e4 > self.enter_1e4:
            raise InputError("above enter: no hysteresis", field="leave_1e4")
        return self


class Historical(Model):
    """Days of the history as joint scenarios of a group, over all underlyings; the most recent ones.

    Attributes:
        filtered: each day's move is scaled by today's volatility over that day's (Barone-Adesi, Giannopoulos and
            Vosper, "VaR without correlations for portfolios of derivative securities", 1999).
        shortfall_level_bp: emit an expected shortfall at this level; without it the worst day counts.
    """

    group: str
    days: int = Field(ge=1, le=1_000)
    filtered: bool = False
    lambda_1e4: int = Field(default=9_700, gt=0, lt=SCALE_BP)
    shortfall_level_bp: int | None = Field(default=None, gt=0, lt=SCALE_BP)


class LiquidityTier(Model):
    """Beyond ``part_bp`` of a day's volume, a position costs ``rate_bp`` of its notional more: a marginal rate."""

    part_bp: int = Field(gt=0, le=100 * SCALE_BP)
    rate_bp: int = Field(gt=0, le=SCALE_BP)


class Liquidity(Model):
    """Charges that grow with a position's size against what its market trades in a day (a ``gross_charge``).

    Attributes:
        daily_volume: quote a day, by underlying; one that is not named is not charged.
        tiers: ascending parts of it, with marginal rates that grow.
    """

    daily_volume: Map[str, str]
    tiers: Seq[LiquidityTier] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, text in self.daily_volume.items():
            if to_fraction(text, field=f"daily_volume.{name}") <= 0:
                raise InputError("must be above 0", field=f"daily_volume.{name}")
        for before, after in pairwise(self.tiers):
            if after.part_bp <= before.part_bp or after.rate_bp <= before.rate_bp:
                raise InputError("parts and rates must grow from tier to tier", field="tiers")
        return self


class Multiplier(Selective):
    """The tools of Art. 28 as a multiplier of whole requirements, a ``factors`` component, in place of a wider range.

    ``stressed``, ``ten_year_days`` and ``buffer`` then leave scan ranges as they were measured. Of the underlyings the
    one that needs the largest multiplier counts.

    Attributes:
        requirements: which ones are multiplied.
        underlyings: whose levels are looked at; empty means all of the history's.
    """

    underlyings: Seq[Name] = Field(default=(), max_length=64)


class Covariances(Model):
    """EWMA covariances of daily moves as the matrix of the base policy's ``delta_norm``.

    Sigma = multiple^2 x horizon x covariance, rounded to bp^2; as much is added to the diagonal as rounding can take
    away, so that it stays positive semidefinite.
    """

    lambda_1e4: int = Field(default=9_700, gt=0, lt=SCALE_BP)
    multiple_1e4: int = Field(default=30_000, gt=0, le=20 * SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)


class Rule(Document):
    """How a policy follows from a history.

    Attributes:
        base: a named policy, whose ``worst_scenario`` grid is scaled, or with ``covariances`` whose ``delta_norm`` gets
            a matrix; everything else of it stays.
        floor_bp: no scan range is below this.
        vols: how far implied vols move, from a history of them; None leaves the base policy's vol moves as they are.
        correlation_bp: for each, all underlyings move by their scan ranges together, and the second and later ones by
            this part of theirs against the first: joint scenarios of a group ``correlation``.
        factors: the tools of Art. 28 multiply requirements, and widen no scan range.
        covariances: a matrix of covariances, for a base policy with a ``delta_norm``.
    """

    FORMAT: ClassVar[str] = "zkmargin/rule/v3"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/rule/v1", "zkmargin/rule/v2")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    base: str = "default"
    quantile: Quantile | None = None
    volatility: Volatility | None = None
    floor_bp: int = Field(default=0, ge=0, le=MAX_SCAN_BP)
    stressed: Stressed | None = None
    ten_year_days: int | None = Field(default=None, ge=250, le=10_000)
    buffer: Buffer | None = None
    regimes: Regimes | None = None
    historical: Historical | None = None
    correlation_bp: Seq[int] = Field(default=(), max_length=8)
    liquidity: Liquidity | None = None
    vols: Annotated[VolScan | None, Since(2)] = None
    factors: Annotated[Multiplier | None, Since(3)] = None
    covariances: Annotated[Covariances | None, Since(3)] = None

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """The lowest version that can say it, and not below 2: a rule's digest stands in trust files."""
        return cls.FORMAT if data.get("factors") or data.get("covariances") else cls.READS[-1]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.quantile is None and self.volatility is None:
            raise InputError("neither quantile nor volatility: nothing says how a scan range follows", field="quantile")
        if self.regimes is not None and self.volatility is None:
            raise InputError("regimes are told apart by volatility", field="regimes")
        if any(not 0 <= part <= SCALE_BP for part in self.correlation_bp):
            raise InputError("from 0 to 10000", field="correlation_bp")
        if self.factors is not None and not (self.stressed or self.ten_year_days or self.buffer):
            raise InputError("multiplies by none of stressed, ten_year_days and buffer", field="factors")
        return self


class Level(Model):
    """What a rule says of one underlying: every number on the way to its scan range. Moves are in 1e-9.

    Attributes:
        volatility, long_run: EWMA and plain root mean square of daily moves; None without a rule for them.
        by_quantile, by_volatility: the two measures.
        raw: the larger, and the floor.
        stressed, ten_year: the measure of these periods.
        regime: ``calm`` or ``stressed``.
        applied: after the tools against procyclicality, the regime and the buffer.
        scan_bp: ``applied`` (with ``factors``: ``now``) in basis points, rounded up: what the policy holds.
        vol_scan_bp: the range of implied vols, rounded up; None where there are no vols or no rule for them.
        now: with ``factors``, the measures after the regime: what the tools are applied to.
        previous: what the buffer is exhausted towards: the level applied before, or the whole buffer at first.
        multiplier_bp: ``applied`` over ``now``, rounded up.
        delta_bp: with ``covariances``, the root of the own variance in the matrix, rounded up.
    """

    volatility: int | None = None
    long_run: int | None = None
    by_quantile: int | None = None
    by_volatility: int | None = None
    raw: int
    stressed: int | None = None
    ten_year: int | None = None
    regime: Literal["calm", "stressed"] = "calm"
    applied: int
    scan_bp: int
    vol_scan_bp: Annotated[int | None, Since(2)] = None
    now: Annotated[int | None, Since(3)] = None
    previous: Annotated[int | None, Since(3)] = None
    multiplier_bp: Annotated[int | None, Since(3)] = None
    delta_bp: Annotated[int | None, Since(3)] = None


class Derivation(Document):
    """How a policy came about. Public.

    Attributes:
        rule: the rule itself; its digest is what a series of policies is announced by.
        as_of: the last day of the history that was used.
        history: keccak-256 of that part of the history.
        before: the derivation before, whose levels a buffer and the regimes start from; None for the first.
        policy: digest of the policy.
        covariances: [K][K] EWMA covariances of daily moves in 1e-18, underlyings in the history's order.
    """

    FORMAT: ClassVar[str] = "zkmargin/derivation/v3"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/derivation/v1", "zkmargin/derivation/v2")

    rule: Rule
    rule_digest: Digest
    as_of: str
    history: Digest
    before: Digest | None = None
    before_levels: Map[str, int] = Field(default_factory=FrozenMap)
    before_regimes: Map[str, str] = Field(default_factory=FrozenMap)
    levels: Map[str, Level]
    policy: Digest
    covariances: Annotated[Seq[Annotated[Seq[int], Field(max_length=64)]], Since(3), Field(max_length=64)] = ()

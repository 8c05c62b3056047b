"""What the golden documents are made of: markets, a policy, risk arrays, keys and who trusts them.

Only ``golden_documents.py`` uses it, to make its files. The keys are not secret.
"""

from __future__ import annotations

import numpy as np
from golden import draws

from zkmargin.crypto import bls
from zkmargin.crypto.keys import PublicKey, SecretSigner
from zkmargin.crypto.signatures import Scheme, module_of
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy
from zkmargin.engine.risk_arrays import ArrayInstrument, RiskArrays
from zkmargin.engine.spread_rules import CalendarRules
from zkmargin.formats import IntArray
from zkmargin.verifier.attest import Trust

TIME, NEXT_TIME = "2026-01-02T03:04:05Z", "2026-02-02T03:04:05Z"
JANUARY, MARCH = "2026-01-30T08:00:00Z", "2026-03-27T08:00:00Z"
CALL, PUT, LATER = "BTC-30JAN26-90000-C", "BTC-30JAN26-80000-P", "BTC-27MAR26-100000-C"


def _option(name: str, expiry: str, lot: str = "0.1", vol: str = "0.5") -> Instrument:
    underlying, _, strike, kind = name.split("-")
    return Instrument(
        id=name,
        kind="option",
        underlying=underlying,
        expiry=expiry,
        strike=strike,
        option_type="call" if kind == "C" else "put",
        implied_vol=vol,
        lot=lot,
    )


def _perpetual(name: str) -> Instrument:
    return Instrument(id=name, kind="perpetual", underlying="BTC", settlement="inverse", multiplier="10", lot="1")


def market() -> Market:
    """Three options, a future, perpetuals and spot; two risk groups, three assets."""
    return Market(
        time=TIME,
        source="golden",
        notes=("prices are made up",),
        underlyings=(
            Underlying(name="BTC", index_price="90000", confidence="0.75"),
            Underlying(name="ETH", index_price="3000.5", time=TIME),
        ),
        forwards=(
            Forward(underlying="BTC", expiry=JANUARY, price="90500", rate="0.04"),
            Forward(underlying="BTC", expiry=MARCH, price="91000"),
        ),
        instruments=(
            _option(CALL, JANUARY),
            _option(PUT, JANUARY, vol="0.55"),
            _option(LATER, MARCH, vol="0.52"),
            _perpetual("BTC-PERP"),
            Instrument(
                id="BTC-27MAR26", kind="future", underlying="BTC", expiry=MARCH, lot="0.001", mark_price="91010.5"
            ),
            Instrument(id="ETH-PERP", kind="perpetual", underlying="ETH", lot="0.01"),
            Instrument(id="ETH", kind="spot", underlying="ETH", lot="0.01"),
        ),
        assets=(
            Asset(name="USDC", price="0.97", lot="0.01"),
            Asset(name="BTC", price="90000", lot="0.00001", underlying="BTC"),
            Asset(name="ORDERS", price="1", lot="1"),
        ),
    )


def next_market() -> Market:
    """A month later: January's options are gone, lots are finer, an asset is new."""
    return Market(
        time=NEXT_TIME,
        underlyings=(Underlying(name="BTC", index_price="95000"),),
        forwards=(Forward(underlying="BTC", expiry=MARCH, price="95500"),),
        instruments=(
            _perpetual("BTC-PERP"),
            _option(LATER, MARCH, lot="0.01"),
        ),
        assets=(Asset(name="BTC", price="95000", lot="0.00001"), Asset(name="USDC", price="1", lot="0.01")),
    )


def policy() -> Policy:
    """Small, and of the three components that nearly every policy has."""
    grid = {
        "price_moves_bp": [-1500, 0, 1500],
        "vol_moves_bp": [-2500, 0, 2500],
        "tails": [{"price_move_bp": side, "vol_move_bp": 2500, "weight_bp": 3000} for side in (-5000, 5000)],
        "tenor_exponent_short_1e4": 3000,
        "tenor_exponent_long_1e4": 1300,
        "tenor_floor_seconds": 86400,
        "vol_floor_bp": 5000,
        "time_step_seconds": 86400,
    }
    cash, worthless = {"haircut_bp": 0, "negative_allowed": True, "negative_surcharge_bp": 100}, {"haircut_bp": 10000}
    return Policy.model_validate(
        {
            "name": "golden",
            "title": "Small",
            "version": "1",
            "requirements": {"initial": 10000, "maintenance": 8000},
            "layout": {"domain_size": 16, "position_bits": 20, "collateral_bits": 40},
            "max_price_age_seconds": 600,
            "components": [
                {"type": "worst_scenario", "grid": grid},
                {"type": "short_option_minimum", "mode": "floor", "rate_bp": 50},
                {"type": "haircuts", "assets": {"USDC": cash, "BTC": {"haircut_bp": 1000}, "ORDERS": worthless}},
            ],
        }
    )


def risk_arrays() -> RiskArrays:
    """Two contracts of a clearing house."""
    scan = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 3, -3], dtype=np.int64)
    rules = {
        "tiers": [{"number": 1, "first": "202601", "last": "202612"}],
        "spreads": [
            {"charge": {"amount": "10.5"}, "legs": [{"tier": 1, "side": "A"}, {"tier": 1, "side": "B", "ratio": "2"}]}
        ],
        "delivery": [{"charge": {"amount": "3"}, "period": "202601"}],
    }
    legs = [{"underlying": "GC", "side": "A", "deltas": "1"}, {"underlying": "SI", "side": "B", "deltas": "2"}]
    return RiskArrays.model_validate(
        {
            "time": TIME,
            "quote": "USD",
            "source": "golden",
            "notes": ("numbers are made up",),
            "instruments": (
                ArrayInstrument(
                    id="GC-202602",
                    kind="future",
                    underlying="GC",
                    period="202602",
                    expiry="2026-02-25T00:00:00Z",
                    multiplier="100",
                    lot="1",
                    price="2650.5",
                ),
                ArrayInstrument(
                    id="GC-202602-2700-C",
                    kind="option",
                    underlying="GC",
                    period="202602",
                    strike="2700",
                    option_type="call",
                    multiplier="100",
                    lot="1",
                    price="31.25",
                    premium=True,
                ),
            ),
            "gains": IntArray(np.stack([-5_333_333_333 * scan, -2_100_000_000 * scan - 7_000_000])),
            "deltas": IntArray(np.array([10**9, 412_300_000], dtype=np.int64)),
            "short_option_minimums": {"GC": "45"},
            "price_scans": {"GC": "16000"},
            "calendars": {"GC": CalendarRules.model_validate(rules)},
            "credits": [{"rate": "0.45", "legs": legs}],
            "assets": (Asset(name="USD", price="1", lot="0.01"),),
        }
    )


#: Who does not use BLS.
SCHEMES: dict[str, Scheme] = {"oracle 3": "ed25519", "custodian": "ed25519", "oracle 4": "secp256k1"}


def signer(name: str) -> SecretSigner:
    """A party's key: oracle 3 and the custodian use Ed25519, oracle 4 secp256k1, the others BLS."""
    scheme = SCHEMES.get(name, "bls")
    secret, module = draws(f"key {name}")().to_bytes(32, "big"), module_of(scheme)
    possession = bls.prove_possession(secret).hex() if scheme == "bls" else None
    public = PublicKey(name=name, scheme=scheme, public_key=module.public_key(secret).hex(), possession=possession)
    return SecretSigner(public, secret)


def trust(desk: str) -> Trust:
    """Two of three oracles; the venue and the custodian for themselves."""
    oracles = [f"oracle {i}" for i in (1, 2, 3)]
    names = [*oracles, "venue", "custodian", desk]
    return Trust.model_validate(
        {
            "format": "zkmargin/trust/v1",
            "verifier": desk,
            "beneficiary": desk,
            "clock_skew_seconds": 5,
            "keys": [signer(name).public.model_dump(mode="json") for name in names],
            "snapshots": [{"name": "main", "signers": oracles, "threshold": 2, "max_age_seconds": 600}],
            "positions": [{"name": "venue", "signers": ["venue"], "threshold": 1}],
            "collateral": [{"name": "custodian", "signers": ["custodian"], "threshold": 1}],
        }
    )


def second_trust(desk: str) -> Trust:
    """The trust file of the second round: policies, receipts, revocations, a required part, a key of secp256k1."""
    first = trust(desk)
    oracles, officer = [f"oracle {i}" for i in (1, 2, 3, 4)], "security officer"
    value = {name: getattr(first, name) for name in ("verifier", "beneficiary", "clock_skew_seconds")}
    rule = {"name": "main", "signers": oracles, "threshold": 3, "max_age_seconds": 600}
    return Trust.model_validate(
        {
            **value,
            "keys": [signer(name).public for name in (*oracles, "venue", "custodian", desk, officer)],
            "snapshots": [rule | {"policies": [policy().digest().hex()]}],
            "positions": first.positions,
            "collateral": first.collateral,
            "receipts": [{"name": desk, "signers": [desk], "threshold": 1}],
            "revocations": [{"name": "group", "signers": [officer], "threshold": 1, "max_age_seconds": 86400}],
            "required": [{"role": "positions", "issuer": "venue", "accounts": ["market maker"]}],
        }
    )


BOOK = {"positions": {CALL: "-1.5", LATER: "2.5", "BTC-PERP": "700"}, "collateral": {"USDC": "250000", "BTC": "2.5"}}
FILLS = {"positions": {CALL: "1.5", "BTC-PERP": "-200"}, "collateral": {"USDC": "-4321.5"}}

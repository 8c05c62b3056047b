"""Openings of the chain arguments: what is opened where, and what is left for one pairing check.

    D = Z_H(zeta) T + ..   at zeta
    packed columns         at X^3 = zeta
    phi                    at zeta and omega zeta
    fold, pinned, price    at X^4 = zeta, and the points of side rows, where the layout has any

Number i has the weight gamma^i / Z_i(x) (docs/protocol-chain.md, message 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from py_arkworks_bls12381 import G1Point

from zkmargin.circuits.chain import TABLE_PACK, ChainPrices, ChainWeights, fold_scales
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.formats import from_hex
from zkmargin.formats.errors import InputError, ProofFormatError
from zkmargin.verifier.argument import Opening
from zkmargin.verifier.chain.closed_forms import DOMAIN, TableValues
from zkmargin.verifier.chain.proof import WORDS
from zkmargin.verifier.chain.table import Table
from zkmargin.verifier.chain.words import decode_point
from zkmargin.verifier.messages import Message


def decoded_points(commitments: Message) -> dict[str, G1Point]:
    """The points of a proof by name. Raises ProofFormatError."""
    points: dict[str, G1Point] = {}
    for name, data in commitments.named(WORDS):
        try:
            points[name] = decode_point(data)
        except ValueError as error:
            raise ProofFormatError(f"{name}: {error}") from None
    return points


def common_remainders(values: TableValues, zeta: int) -> list[list[int]]:
    """The last four: phi's line, the fold, the pinned and the price point; then those of the side rows."""
    slope = (values.phi_shifted - values.phi) * inverse((DOMAIN.omega - 1) * zeta) % r
    return [
        [(values.phi - slope * zeta) % r, slope],
        list(values.r),
        list(values.pinned),
        [*values.prices, 1],
        *(list(values.side_rows[i : i + TABLE_PACK]) for i in range(0, len(values.side_rows), TABLE_PACK)),
    ]


@dataclass(frozen=True)
class Divisors:
    """1/Z_i(x): over {zeta}, X^3 = zeta, {zeta, omega zeta}, X^4 = zeta. ZeroDivisionError where x is in one."""

    x: int
    zeta: int

    def scales(self, gamma: int, columns: int, tables: int = 3) -> list[int]:
        """gamma^i / Z_i(x) of everything that is opened: D, so many points of columns, phi, so many of tables."""
        x, zeta = self.x, self.zeta
        linear = inverse(x - zeta)
        both = inverse((x - zeta) * (x - DOMAIN.omega * zeta))
        cube, fourth = inverse(pow(x, 3, r) - zeta), inverse(pow(x, 4, r) - zeta)
        over = [linear, *[cube] * columns, both, *[fourth] * tables]
        return [g * z % r for g, z in zip(powers(gamma, len(over)), over, strict=True)]


def table_terms(
    prices: ChainPrices, table: Table, weights: ChainWeights, scales: Sequence[int]
) -> list[tuple[G1Point, int]]:
    """Fold, pinned, price and side points with their scales: terms of the table's points."""
    terms = [
        (_table_point(text, f"rows[{k}]"), scales[0] * scale % r)
        for k, (text, scale) in enumerate(zip(table.rows, fold_scales(prices.layout, weights), strict=True))
    ]
    others = {"pinned": table.pinned, "price": table.price}
    others |= {f"sides[{k}]": text for k, text in enumerate(table.sides)}
    terms += [(_table_point(text, name), scale) for (name, text), scale in zip(others.items(), scales[1:], strict=True)]
    return terms


def opening_of(
    terms: Sequence[tuple[G1Point, int]],
    constant: int,
    points: Mapping[str, G1Point],
    x: int,
    statement_digest: bytes,
) -> Opening:
    """What is left of a proof: the terms, ``W`` and ``W'``."""
    right = [*terms, (points["W"], -1), (points["W'"], x)]
    return Opening(((points["W'"], 1),), tuple((p, s % r) for p, s in right), -constant % r, statement_digest)


def _table_point(text: str, name: str) -> G1Point:
    try:
        return decode_point(from_hex(text))
    except ValueError as error:
        raise InputError(str(error), field=f"table: {name}") from None

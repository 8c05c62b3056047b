"""A small setup whose points can be spoilt, in each form of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from py_arkworks_bls12381 import G1Point, G2Point

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import lagrange_at, scalar
from zkmargin.crypto.srs import SRS
from zkmargin.crypto.srs_files import load
from zkmargin.formats import InputError, SetupError

TAU, N, M = 0xC0FFEE, 8, 5
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
REFUSED = (InputError, SetupError)
FORMS = ["binary", "text", "json"]
Point = TypeVar("Point", G1Point, G2Point)


class Files:
    """A small setup's points, free to be spoilt, and the three forms of file they are written in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.g1 = [G1Point() * scalar(pow(TAU, i, r)) for i in range(N)]
        self.g2 = [G2Point() * scalar(pow(TAU, i, r)) for i in range(M)]
        self.lagrange = [G1Point() * x for x in lagrange_at(Domain.of(N), TAU)]

    def write(self, form: str) -> bytes:
        if form == "binary":
            return SRS.from_points(self.g1, self.g2).encoding
        g1, g2, lagrange = ([p.to_compressed_bytes().hex() for p in ps] for ps in (self.g1, self.g2, self.lagrange))
        if form == "text":
            return "".join(f"{x}\n" for x in [len(g1), len(g2), *lagrange, *g2, *g1]).encode()
        lists = {"g1_monomial": g1, "g1_lagrange": lagrange, "g2_monomial": g2}
        return json.dumps({k: ["0x" + x for x in v] for k, v in lists.items()}, indent=2).encode()

    def load(self, data: bytes | str) -> SRS:
        """Load with the insecure switch on, so that only the checks of the content stand in the way."""
        path = self.folder / "setup"
        path.write_bytes(data if isinstance(data, bytes) else self.write(data))
        return load(path, allow_insecure=True)


def outside_subgroup(kind: type[Point]) -> Point:
    """A point of the curve (or twist) that is not in the subgroup; for G1 it is the one with x = 4."""
    for x in range(4, 64):
        try:
            width = 48 if kind is G1Point else 96
            point = kind.from_compressed_bytes_unchecked(b"\x80" + bytes(width - 2) + bytes([x]))
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return point
    raise AssertionError("no such point")

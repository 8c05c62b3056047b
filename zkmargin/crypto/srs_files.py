"""Reading a structured reference string from a file that somebody hands us.

Three forms are known by their first bytes:

* ours: the binary encoding of ``crypto.srs``;
* the text of the Ethereum consensus specifications: the number n of powers, the number m of G2 powers, then n
  Lagrange G1, m monomial G2 and n monomial G1 points, each a line of zcash-compressed lower-case hex;
* their JSON: ``g1_monomial``, ``g2_monomial`` and, if given, ``g1_lagrange``, lists of "0x" hex.

Lagrange points and G2 powers beyond tau are checked and then left out: nothing here uses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

from py_arkworks_bls12381 import G1Point, G2Point
from pydantic import Field

from zkmargin.crypto.srs import MAGIC, MAX_POWERS, SRS
from zkmargin.crypto.srs_checks import Point, Progress, check_g2_powers, check_lagrange, strict_point, verify_srs
from zkmargin.formats import InputError, Model, Seq, SetupError, parse_json, read_bytes

MAX_G2_POWERS = 1024
MAX_FILE_BYTES = 8 * 1024 * 1024

_G1_HEX = 96
_G2_HEX = 192
_TEXT_COUNTS = re.compile(rb"([1-9][0-9]{0,4})\n([1-9][0-9]{0,3})\n")


class _Decoded(NamedTuple):
    """A file's points: decoded strictly, not yet checked to be a setup."""

    srs: SRS
    g2: list[G2Point]
    lagrange: list[G1Point]


def load(path: str | Path, *, allow_insecure: bool = False, progress: Progress | None = None) -> SRS:
    """Read a setup (``-`` for standard input) and check everything about it.

    Args:
        path: the file, in any of the three forms.
        allow_insecure: accept a setup of unknown origin (its ``insecure`` is then true): whoever made it may
            know tau and forge any proof under it.
        progress: called with each check's name as it begins.

    Raises:
        InputError: unreadable, too large, or not exactly one of the forms.
        SetupError: a point is not valid, the points are not the powers of one tau, or the digest is unknown and
            ``allow_insecure`` was not given.
    """
    name = str(path)
    begin = progress or (lambda _: None)
    data = read_bytes(path, max_bytes=MAX_FILE_BYTES)
    try:
        srs, g2, lagrange = _decode(data)
        verify_srs(srs, progress=progress)
        if g2:
            begin("consecutive G2 powers differ by the factor tau")
            check_g2_powers(srs.g1_powers(2), g2)
        if lagrange:
            begin("the Lagrange points belong to these powers")
            check_lagrange(srs.g1_powers(srs.powers), lagrange)
    except InputError as error:
        raise error.located(file=name) from None
    except SetupError as error:
        raise SetupError(f"{name}: {error.message}") from None
    if srs.insecure and not allow_insecure:
        raise SetupError(
            f"{name}: the digest {srs.digest.hex()} belongs to no known ceremony",
            hint="whoever made this setup may be able to forge proofs; it can be used only by saying so explicitly",
        )
    return srs


def _decode(data: bytes) -> _Decoded:
    if data.startswith(MAGIC):
        return _Decoded(SRS(data), [], [])
    if data.lstrip(b" \t\r\n").startswith(b"{"):
        return _decode_json(data)
    return _decode_text(data)


def _decode_text(data: bytes) -> _Decoded:
    head = _TEXT_COUNTS.match(data)
    if head is None:
        raise InputError("not a setup in a known form (zkmargin binary, consensus-specs text or JSON)")
    n, m = int(head[1]), int(head[2])
    _check_counts(n, m)
    # Rows have fixed lengths, so the file's length is known before anything is read.
    size = head.end() + 2 * n * (_G1_HEX + 1) + m * (_G2_HEX + 1)
    if len(data) != size:
        raise InputError(f"{len(data)} bytes: {n} powers and {m} G2 powers take exactly {size}")
    at, line = head.end(), 3

    def rows(count: int, width: int, parse: Callable[[bytes, str], Point]) -> list[Point]:
        nonlocal at, line
        points = []
        for _ in range(count):
            row = data[at : at + width + 1]
            if re.fullmatch(rb"[0-9a-f]+\n", row) is None:
                raise InputError(f"not {width} lower-case hexadecimal digits", line=line)
            points.append(parse(bytes.fromhex(row[:-1].decode()), f"line {line}"))
            at, line = at + width + 1, line + 1
        return points

    lagrange = rows(n, _G1_HEX, _compressed_g1)
    g2 = rows(m, _G2_HEX, _compressed_g2)
    return _Decoded(SRS.from_points(rows(n, _G1_HEX, _compressed_g1), g2), g2, lagrange)


_G1Hex = Annotated[str, Field(pattern=f"^0x[0-9a-f]{{{_G1_HEX}}}$")]
_G2Hex = Annotated[str, Field(pattern=f"^0x[0-9a-f]{{{_G2_HEX}}}$")]


class _JsonSetup(Model):
    g1_monomial: Seq[_G1Hex]
    g2_monomial: Seq[_G2Hex]
    g1_lagrange: Seq[_G1Hex] = ()


def _decode_json(data: bytes) -> _Decoded:
    setup = _JsonSetup.model_validate(parse_json(data))
    _check_counts(len(setup.g1_monomial), len(setup.g2_monomial))
    if "g1_lagrange" in setup.model_fields_set and len(setup.g1_lagrange) != len(setup.g1_monomial):
        raise InputError(f"{len(setup.g1_lagrange)} points for {len(setup.g1_monomial)} powers", field="g1_lagrange")
    g1 = _json_points(setup.g1_monomial, _compressed_g1, "g1_monomial")
    g2 = _json_points(setup.g2_monomial, _compressed_g2, "g2_monomial")
    return _Decoded(SRS.from_points(g1, g2), g2, _json_points(setup.g1_lagrange, _compressed_g1, "g1_lagrange"))


def _json_points(rows: tuple[str, ...], parse: Callable[[bytes, str], Point], field: str) -> list[Point]:
    return [parse(bytes.fromhex(row[2:]), f"{field}[{i}]") for i, row in enumerate(rows)]


def _check_counts(n: int, m: int) -> None:
    if not 2 <= n <= MAX_POWERS:
        raise InputError(f"{n} powers: a setup has 2 to {MAX_POWERS}")
    if not 2 <= m <= MAX_G2_POWERS:
        raise InputError(f"{m} G2 powers: a setup has 2 to {MAX_G2_POWERS}")


def _compressed_g1(data: bytes, where: str) -> G1Point:
    return strict_point(G1Point.from_compressed_bytes_unchecked, G1Point.to_compressed_bytes, data, where)


def _compressed_g2(data: bytes, where: str) -> G2Point:
    return strict_point(G2Point.from_compressed_bytes_unchecked, G2Point.to_compressed_bytes, data, where)

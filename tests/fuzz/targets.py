"""Fuzz targets: each takes bytes and either returns or fails. The oracle is another implementation, or a rule.

Reached by ``tests/test_fuzz.py`` (hypothesis, a time budget) and ``tests/fuzz/coverage_guided.py`` (atheris). A target
raises nothing: a documented error is caught here, anything else is a finding.
"""

import base64
import hashlib
import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from Crypto.Hash import keccak
from py_arkworks_bls12381 import G1Point, G2Point
from pydantic import TypeAdapter
from support.typed import Json

from zkmargin.accounts import Commitment
from zkmargin.accounts.openings import Opening
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import decode_scalar, r
from zkmargin.crypto.group import decode_g1, decode_g2, encode_g1, encode_g2, msm
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs_files import load
from zkmargin.crypto.transcript import Transcript
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.book import Book
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import from_units, parse_time, to_fraction, to_units
from zkmargin.engine.importers import FORMATS, Options, import_file
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    IntArray,
    ProofFormatError,
    VerificationError,
    ZkMarginError,
    canonical_bytes,
    keccak256,
    parse_json,
)
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels.fixed_base import FixedBaseTables
from zkmargin.verifier import verify
from zkmargin.verifier.proof import decode_proof, encode_proof

ec: Any = importlib.import_module("py_ecc.optimized_bls12_381")
TESTS = Path(__file__).parents[1]
P: int = ec.field_modulus


@dataclass(frozen=True)
class Target:
    """A function of bytes, where to begin, and how long its inputs may get."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    longest: int = 4096


def _check(condition: bool, what: object) -> None:
    """An assert that ``python -O`` keeps."""
    if not condition:
        raise AssertionError(f"the oracle disagrees: {what!r}")


def _attempt(work: Callable[[], Any], *errors: type[Exception]) -> Any:
    """The result, or None for a documented error."""
    try:
        return work()
    except errors:
        return None


# --- points and scalars: arkworks against py_ecc's field arithmetic ------------------------------------------


def _sqrt2(a: Json) -> Any:
    """A square root in Fp2, or None."""
    decompressed = importlib.import_module("py_ecc.bls.point_compression")
    return decompressed.modular_squareroot_in_FQ2(a)


def _expected_g1(data: bytes) -> Any:
    if len(data) != 48 or data[0] >> 6 != 2:
        return None
    x = int.from_bytes(data, "big") & (1 << 381) - 1
    square = (x**3 + 4) % P
    y = pow(square, (P + 1) // 4, P)
    if x >= P or y * y % P != square:
        return None
    if (y > (P - 1) // 2) != bool(data[0] & 0x20):
        y = P - y
    point = (ec.FQ(x), ec.FQ(y), ec.FQ(1))
    return (x, y) if ec.is_inf(ec.multiply(point, r)) else None


def g1(data: bytes) -> None:
    """48 bytes: a point of the subgroup or nothing."""
    point, expected = _attempt(lambda: decode_g1(data), ValueError), _expected_g1(data)
    _check((point is None) == (expected is None), data)
    if point is not None:
        _check(bytes(point.to_xy_bytes_be()) == b"".join(c.to_bytes(48, "big") for c in expected), data)
        _check(encode_g1(point) == data, data)


def _expected_g2(data: bytes) -> Any:
    if len(data) != 96 or data[0] >> 6 != 2:
        return None
    x1, x0 = int.from_bytes(data[:48], "big") & (1 << 381) - 1, int.from_bytes(data[48:], "big")
    if x1 >= P or x0 >= P:
        return None
    x = ec.FQ2([x0, x1])
    y = _sqrt2(x**3 + ec.b2)
    if y is None:
        return None
    y0, y1 = (int(c) for c in y.coeffs)
    larger = y1 > (P - 1) // 2 if y1 else y0 > (P - 1) // 2
    if larger != bool(data[0] & 0x20):
        y0, y1 = -y0 % P, -y1 % P
    point = (x, ec.FQ2([y0, y1]), ec.FQ2([1, 0]))
    return (x0, x1, y0, y1) if ec.is_inf(ec.multiply(point, r)) else None


def g2(data: bytes) -> None:
    """96 bytes: a point of the subgroup or nothing."""
    point, expected = _attempt(lambda: decode_g2(data), ValueError), _expected_g2(data)
    _check((point is None) == (expected is None), data)
    if point is not None:
        _check(encode_g2(point) == data, data)
        _check(bytes(point.to_xy_bytes_be()) == b"".join(c.to_bytes(48, "big") for c in expected), data)


def scalars(data: bytes) -> None:
    """32 bytes below r."""
    value = int.from_bytes(data, "big")
    expected = value if len(data) == 32 and value < r else None
    _check(_attempt(lambda: decode_scalar(data), ValueError) == expected, data)


# --- sums and transforms: kernels against arkworks and Python integers ----------------------------------------


def _numbers(data: bytes) -> list[int]:
    """Up to 8 scalars below r out of bytes, with the edges often among them."""
    edges = (0, 1, 2, r - 1, r - 2, r // 2, 2**64, 2**255 % r)
    result: list[int] = []
    while data and len(result) < 8:
        kind, data = data[0], data[1:]
        if kind < 128:
            result.append(edges[kind % 8])
        else:
            result.append(int.from_bytes(data[:32], "big") % r)
            data = data[32:]
    return result


def sums(data: bytes) -> None:
    """MSM of up to eight points that may be equal, opposite or infinity."""
    half = len(data) // 2
    factors, values = _numbers(data[:half]), _numbers(data[half:])
    count = min(len(factors), len(values))
    factors, values = [f or 1 for f in factors[:count]], values[:count]
    points = [G1Point() * scalar(f) for f in factors]
    expected = G1Point() * scalar(sum(f * v for f, v in zip(factors, values, strict=True)))
    _check(msm(points, values) == expected, data)
    if count:
        raw = b"".join(bytes(point.to_xy_bytes_be()) for point in points)
        tables = FixedBaseTables.build(raw, window=4)
        out = bytes(96) if expected == G1Point.identity() else bytes(expected.to_xy_bytes_be())
        _check(tables.msm(K.from_ints(values)) == out, data)
        small = np.array([v % 2**63 for v in values], dtype=np.int64)
        again = G1Point() * scalar(sum(f * int(v) for f, v in zip(factors, small, strict=True)))
        out = bytes(96) if again == G1Point.identity() else bytes(again.to_xy_bytes_be())
        _check(tables.msm_small(small) == out, data)


def transforms(data: bytes) -> None:
    """NTT and its inverse of 1 to 8 values."""
    values = _numbers(data)
    n = 1 << max(len(values) - 1, 0).bit_length()
    values += [0] * (n - len(values))
    domain = Domain.of(n)
    forward = domain.ntt(values)
    _check(forward == [sum(v * pow(w, i, r) for i, v in enumerate(values)) % r for w in domain.elements], data)
    vector = K.from_ints(values)
    _check(K.to_ints(K.ntt(vector)) == forward, data)
    _check(K.to_ints(K.intt(vector)) == domain.intt(values), data)


def arithmetic(data: bytes) -> None:
    """Vectors of field elements against integers."""
    half = len(data) // 2
    a, b = _numbers(data[:half]), _numbers(data[half:])
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    if not n:
        return
    x, y = K.from_ints(a), K.from_ints(b)
    _check(K.to_ints(K.mul(x, y)) == [s * t % r for s, t in zip(a, b, strict=True)], data)
    _check(K.to_ints(K.sub(x, y)) == [(s - t) % r for s, t in zip(a, b, strict=True)], data)
    _check(K.dot(x, y) == sum(s * t for s, t in zip(a, b, strict=True)) % r, data)
    inverses = _attempt(lambda: K.to_ints(K.batch_inverse(x)), ZeroDivisionError)
    _check(inverses == (None if 0 in a else [pow(s, -1, r) for s in a]), data)


# --- the transcript against the text of protocol.md -----------------------------------------------------------


def _hash(*parts: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=b"".join(parts)).digest()


def transcript(data: bytes) -> None:
    """A run of appends and challenges."""
    ours, state = Transcript("fuzz"), bytes(32)

    def absorb(label: bytes, message: bytes) -> None:
        nonlocal state
        state = _hash(state, b"\1", len(label).to_bytes(4, "big"), label, len(message).to_bytes(8, "big"), message)

    absorb(b"protocol", b"fuzz")
    while len(data) >= 3:
        kind, first, second = data[:3]
        label = bytes(c % 128 for c in data[3 : 3 + first % 9])
        data = data[3 + first % 9 :]
        if kind % 2:
            message, data = data[:second], data[second:]
            ours.append(label.decode("ascii"), message)
            absorb(label, message)
        else:
            skipped = second % 4  # the first candidates are excluded
            counts: list[int] = []

            def excluded(x: int, skipped: int = skipped, counts: list[int] = counts) -> bool:
                counts.append(x)
                return len(counts) <= skipped

            x = ours.challenge(label.decode("ascii"), excluded)
            framed = len(label).to_bytes(4, "big") + label + skipped.to_bytes(4, "big")
            wide = b"".join(_hash(state, b"\2", framed, bytes([i])) for i in (0, 1))
            _check(x == int.from_bytes(wide, "big") % r, (label, skipped))
            state = _hash(state, b"\3", framed)
        _check(ours.state == state, label)


# --- proofs ---------------------------------------------------------------------------------------------------


@cache
def _golden() -> Any:
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return importlib.import_module("golden")


@cache
def _statement(name: str) -> Any:
    return _golden().statement_of(name)


def proof_codec(data: bytes) -> None:
    """What is decoded encodes to the same bytes, and is cut where the shape says."""
    for name in ("attested", "gates"):
        statement, good = _statement(name)
        proof = _attempt(partial(decode_proof, data, statement.circuit.shape, statement.srs.digest), ProofFormatError)
        count = len(list(decode_proof(good, statement.circuit.shape, statement.srs.digest).scalars()))
        values = data[len(good) - 96 - 32 * count : len(good) - 96]
        canonical = all(int.from_bytes(values[i : i + 32], "big") < r for i in range(0, len(values), 32))
        expected = len(data) == len(good) and data[:44] == good[:44] and canonical
        _check((proof is not None) == expected, name)
        if proof is not None:
            _check(encode_proof(proof, statement.srs.digest) == data, name)


def verification(data: bytes) -> None:
    """No proof but the golden one is found."""
    statement, good = _statement("attested")
    accepted = _attempt(lambda: verify(statement, data), ProofFormatError, VerificationError)
    _check((accepted is not None) == (data == good), data)


# --- files ----------------------------------------------------------------------------------------------------


def _as_file(data: bytes, read: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        return _attempt(lambda: read(path), ZkMarginError)


def setups(data: bytes) -> None:
    """A setup file in any form: the same setup again from its encoding, or an error."""
    srs = _as_file(data, lambda path: load(path, allow_insecure=True))
    if srs is not None:
        _check(_as_file(srs.encoding, lambda path: load(path, allow_insecure=True)) == srs, data)
        _check(srs.insecure, data)


def json_text(data: bytes) -> None:
    """What is accepted is what the standard library reads; its canonical bytes are a fixed point."""
    value = _attempt(lambda: [parse_json(data)], ZkMarginError)
    if value is not None:
        _check(value[0] == json.loads(data.decode("utf-8")), data)
        canonical = canonical_bytes(value[0])
        _check(canonical_bytes(parse_json(canonical)) == canonical, data)


DOCUMENTS = (Snapshot, Book, Policy, Market, Commitment, Opening)


def documents(data: bytes) -> None:
    """Snapshot, book, policy, market, commitment, opening: one digest, also after a round trip."""
    for kind in DOCUMENTS:
        document = _attempt(partial(kind.parse, data), ZkMarginError)
        if document is not None:
            again = kind.parse(document.to_bytes())
            _check(again == document and again.digest() == document.digest(), kind)


def arrays(data: bytes) -> None:
    """An array's text: the integers that the standard library finds there."""
    value: Json = _attempt(lambda: parse_json(data), ZkMarginError)
    array = _attempt(lambda: TypeAdapter(IntArray).validate_python(value), ZkMarginError, ValueError)
    if array is not None:
        _check(array.values.tobytes() == base64.b64decode(value["data"]), data)
        _check(list(array.values.shape) == value["shape"], data)


#: Commodities of the demo files, so that whole files are read.
FUZZ_LOTS = {"span-xml": {"ALPHA": "75", "BETA": "1"}, "span-pa2": {"GC": "1"}}


def importers(data: bytes) -> None:
    """Every importer of foreign files: a document that survives its file, or an error."""
    for name in FORMATS:
        found = _as_file(data, partial(import_file, format_name=name, options=Options(lots=FUZZ_LOTS.get(name, {}))))
        if found is not None:
            document = found.document
            _check(type(document).parse(document.to_bytes()) == document, data)


def words(data: bytes) -> None:
    """Claims, limits, decimals and times: text that comes back."""
    text = data.decode("utf-8", "replace")
    limit = _attempt(lambda: Limit.parse(text), ZkMarginError)
    if limit is not None:
        _check(Limit.parse(str(limit)) == limit, text)
    claim = _attempt(lambda: Claim.parse(text), ZkMarginError)
    if claim is not None:
        _check(Claim.parse(f"{claim.num}/{claim.den}") == claim, text)
    units = _attempt(lambda: to_units(text, 9), ZkMarginError)
    if units is not None:
        _check(to_units(from_units(units, 9), 9) == units and to_fraction(text) * 10**9 == units, text)
    _attempt(lambda: parse_time(text), ZkMarginError)


# --- where to begin -------------------------------------------------------------------------------------------


def _golden_files(*endings: str) -> list[bytes]:
    folder = _golden().FOLDER
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.name.endswith(endings)]


def _points() -> list[bytes]:
    statement, data = _statement("attested")
    return [point for _, point in decode_proof(data, statement.circuit.shape, statement.srs.digest).points()]


def _twist() -> list[bytes]:
    return [encode_g2(G2Point() * scalar(k)) for k in (1, 2, r - 1)] + [b"\x80" + bytes(95)]


def _setups() -> list[bytes]:
    srs = insecure_from_tau(7, 2)
    rows = {
        "g1_monomial": ["0x" + encode_g1(p).hex() for p in srs.g1_powers(2)],
        "g2_monomial": ["0x" + encode_g2(p).hex() for p in (srs.g2_one, srs.g2_tau)],
    }
    lines = [row[2:] for row in (*rows["g1_monomial"], *rows["g2_monomial"], *rows["g1_monomial"])]
    return [srs.encoding, json.dumps(rows).encode(), "\n".join(["2", "2", *lines, ""]).encode()]


def _documents() -> list[bytes]:
    book = b'{"format":"zkmargin/book/v1","positions":{"I0":"-12.5"},"collateral":{"A0":"25"}}'
    return [book, *_golden_files("commitment-0.json", "attested.snapshot.json")]


def _foreign() -> list[bytes]:
    data, samples = TESTS / "data", TESTS.parent / "zkmargin" / "cli" / "samples"
    return [path.read_bytes() for path in sorted([*samples.glob("*_demo.*"), *data.glob("venues/*")])] + [
        b'[{"instrument_name":"BTC-24NOV23-40000-C"}]'
    ]


def _arrays() -> list[bytes]:
    return [
        json.dumps({"shape": shape, "keccak256": keccak256(raw).hex(), "data": base64.b64encode(raw).decode()}).encode()
        for shape, raw in (([1], bytes(8)), ([2, 1], b"\xff" * 16), ([0, 3], b""))
    ]


WORDS = ("1.25", "5/4", "headroom >= 1000.5", "position A <= 5", "2026-01-02T03:04:05Z")


def _random(count: int) -> list[bytes]:
    return [hashlib.shake_256(bytes([i])).digest(64 * i + 8) for i in range(count)]


TARGETS: dict[str, Target] = {
    "g1": Target(g1, _points, 60),
    "g2": Target(g2, _twist, 120),
    "scalars": Target(scalars, lambda: [x.to_bytes(32, "big") for x in (0, 1, r - 1, r, r + 1)], 40),
    "sums": Target(sums, lambda: _random(6), 540),
    "transforms": Target(transforms, lambda: _random(6), 270),
    "arithmetic": Target(arithmetic, lambda: _random(6), 540),
    "transcript": Target(transcript, lambda: _random(6), 600),
    "proof codec": Target(proof_codec, lambda: _golden_files("attested.proof", "gates.proof"), 1200),
    "verification": Target(verification, lambda: _golden_files("attested.proof"), 1200),
    "setups": Target(setups, _setups, 2000),
    "json": Target(json_text, lambda: [*_documents(), b'{"a":[1,-2,{"b":null}],"c":"\\u00e9\\ud83d\\ude00"}'], 8000),
    "documents": Target(documents, _documents, 8000),
    "arrays": Target(arrays, _arrays, 400),
    "importers": Target(importers, _foreign, 20000),
    "words": Target(
        words, lambda: [b"1.25", b"5/4", b"headroom >= 1000.5", b"position A <= 5", b"2026-01-02T03:04:05Z"], 100
    ),
}

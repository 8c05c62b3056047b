"""A second verifier, in pure Python (ints and py_ecc), written from docs/{protocol,circuit,formats}.md alone.

It shares no code with our crypto, circuits, prover and verifier: where the two verifiers agree, the documents say what
the product does. ``engine`` reads the snapshot (strict parsing, defaults written out); everything after that is here
and in tests/second_circuit.py and tests/second_components.py.

    python tests/second_verifier.py --snapshot snapshot.json --commitment commitment.json --claim 1.0 proof.bin
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from second_circuit import (
    MATRICES,
    SIDES,
    Atom,
    Circuit,
    Json,
    Limit,
    Rejected,
    Unsupported,
    canonical,
    keccak256,
    parse_claim,
    r,
    require,
    without_data,
)
from second_components import build_circuit

from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import ZkMarginError

curve: Any = importlib.import_module("py_ecc.optimized_bls12_381")  # it does not export its names for type checkers
p: int = curve.field_modulus
EMBEDDED_SETUP = Path(__file__).parents[1] / "zkmargin" / "crypto" / "data" / "ethereum-kzg-4096.srs"

Point = Any  # py_ecc's projective points: three field elements
Public = list[tuple[str, bytes]]


# --- the group (py_ecc) and the setup (formats.md) ----------------------------------------------------------


def decode_point(data: bytes, name: str) -> Point:
    require(len(data) == 48 and data[0] >> 7 == 1, f"{name}: not a compressed point")
    require(not data[0] & 0x40, f"{name}: the point at infinity")
    x = int.from_bytes(data, "big") & (1 << 381) - 1
    require(x < p, f"{name}: a coordinate that is not canonical")
    square = (x**3 + 4) % p
    y = pow(square, (p + 1) // 4, p)
    require(y * y % p == square, f"{name}: not on the curve")
    if (y > (p - 1) // 2) != bool(data[0] & 0x20):
        y = p - y
    point = (curve.FQ(x), curve.FQ(y), curve.FQ(1))
    require(bool(curve.is_inf(curve.multiply(point, r))), f"{name}: not in the subgroup")
    return point


def combine(terms: Sequence[tuple[int, Point]]) -> Point:
    """The sum of scalar x point: doublings shared by all of them."""
    total = curve.Z1
    for bit in reversed(range(r.bit_length())):
        total = curve.double(total)
        for scalar, point in terms:
            if scalar % r >> bit & 1:
                total = curve.add(total, point)
    return total


@dataclass(frozen=True)
class Setup:
    """What a verifier needs of a setup: its digest, the number of its powers, and [tau]_2."""

    digest: bytes
    powers: int
    tau: Point


@cache
def load_setup(path: Path) -> Setup:
    data, magic = path.read_bytes(), b"zkmargin/srs/v1\nbls12-381\n"
    require(data.startswith(magic), "setup: not a setup")
    powers, second = int.from_bytes(data[26:30], "big"), int.from_bytes(data[30:32], "big")
    require(second == 2 and len(data) == 32 + 96 * powers + 384, "setup: wrong size")
    c = [int.from_bytes(data[at : at + 48], "big") for at in range(len(data) - 384, len(data), 48)]
    one, tau = [(curve.FQ2(g[0:2]), curve.FQ2(g[2:4]), curve.FQ2((1, 0))) for g in (c[:4], c[4:])]
    require(max(c) < p and bool(curve.eq(one, curve.G2)), "setup: not the generator of G2")
    require(bool(curve.is_on_curve(tau, curve.b2)) and bool(curve.is_inf(curve.multiply(tau, r))), "setup: tau")
    return Setup(keccak256(data), powers, tau)


# --- commitments and the statement (formats.md; protocol.md, section 4) -------------------------------------


def read_commitment(text: bytes) -> Json:
    def pairs(items: list[tuple[str, Json]]) -> Json:
        require(len(dict(items)) == len(items), "commitment: a key appears twice")
        return dict(items)

    def refuse(literal: str) -> NoReturn:
        raise Rejected(f"commitment: a number like {literal[:20]}")

    def integer(literal: str) -> int:
        return refuse(literal) if literal == "-0" or len(literal) > 400 else int(literal)

    try:
        document = json.loads(
            text.decode(), object_pairs_hook=pairs, parse_int=integer, parse_float=refuse, parse_constant=refuse
        )
    except (ValueError, RecursionError) as error:
        raise Rejected(f"commitment: not JSON: {error}") from None
    require(isinstance(document, dict) and set(document) == {"format", "srs", "domain_size", "parts"}, "commitment")
    require(document["format"] == "zkmargin/commitment/v1" and type(document["domain_size"]) is int, "commitment")
    parts = document["parts"]
    require(isinstance(parts, list) and 1 <= len(parts) <= 1024, "commitment: parts")
    for part in parts:
        require(isinstance(part, dict) and set(part) == {"role", "alias", "slot_map", "points", "bits"}, "commitment")
        require(part["role"] in ("positions", "collateral"), "commitment: role")
        require(isinstance(part["alias"], str) and 1 <= len(part["alias"]) <= 200, "commitment: alias")
        require(type(part["bits"]) is int and 1 <= part["bits"] <= 72, "commitment: bits")
        require(isinstance(part["points"], list) and 1 <= len(part["points"]) <= 4096, "commitment: points")
        good = all(isinstance(point, str) and re.fullmatch("[0-9a-f]{96}", point) for point in part["points"])
        require(good, "commitment: points")
    return document


def gather(commitments: Sequence[Json], snapshot: Json, setup: Setup, circuit: Circuit) -> list[Json]:
    """All parts in canonical order."""
    for document in commitments:
        require(document["srs"] == setup.digest.hex(), "commitment: another setup")
        require(document["domain_size"] == circuit.n, "commitment: another domain size")
    parts = [part for document in commitments for part in document["parts"]]
    for role in LISTS:
        digests = slot_maps(snapshot, role, circuit.n)
        own = [part for part in parts if part["role"] == role]
        require(bool(own), f"commitment: no part for {role}")
        require(all(part["slot_map"] in digests for part in own), "commitment: other slots")
        require(all(len(part["points"]) == circuit.segments(role) for part in own), "commitment: number of points")
    require(len({tuple(part["points"]) for part in parts}) == len(parts), "commitment: a part is given twice")
    if not circuit.range_proved:
        total = sum(2 ** part["bits"] - 1 for part in parts if part["role"] == "positions")
        require(total <= circuit.P, "commitment: bits")
    try:
        return sorted(parts, key=canonical)
    except UnicodeEncodeError:
        raise Rejected("commitment: alias") from None


def slot_maps(snapshot: Json, role: str, n: int) -> list[str]:
    """The slot maps that a part may have (formats.md): one in version 1, a chain in version 2."""
    slots = snapshot[LISTS[role]]
    names: tuple[str, ...]
    if snapshot["format"] == "zkmargin/snapshot/v1":
        names = ("id", "kind", "settlement", "multiplier", "lot") if role == "positions" else ("asset", "lot")
        terms = [[slot[name] for name in names] for slot in slots]
        value = {"format": "zkmargin/slot-map/v1", "n": n, "role": role, "slots": terms}
        return [keccak256(canonical(value)).hex()]
    names = ("id", "kind", "underlying", "expiry", "strike", "option_type", "settlement", "multiplier", "lot")
    names = names if role == "positions" else ("asset", "lot")
    capacity = snapshot["layout"]["position_capacity" if role == "positions" else "collateral_capacity"]
    chain: list[str] = []
    for listing in sorted({0, *(slot["listed"] for slot in slots)}):
        terms = [[slot[name] for name in names] for slot in slots if slot["listed"] == listing]
        value = {
            "format": "zkmargin/slot-map/v2",
            "role": role,
            "n": n,
            "capacity": capacity,
            "previous": chain[-1] if chain else None,
            "first": sum(slot["listed"] < listing for slot in slots),
            "slots": terms,
        }
        chain.append(keccak256(canonical(value)).hex())
    return chain


LISTS = {"positions": "instruments", "collateral": "collateral"}


def add_parts(parts: Sequence[Json]) -> dict[str, Point]:
    """The account's commitments by column name."""
    sums: dict[str, Point] = {}
    for part in parts:
        for s, text in enumerate(part["points"]):
            name = f"{part['role']}[{s}]"
            sums[name] = curve.add(sums.get(name, curve.Z1), decode_point(bytes.fromhex(text), f"commitment {name}"))
    for name, point in sums.items():
        require(not curve.is_inf(point), f"commitment {name}: infinity")
    return sums


class Transcript:
    """Section 4 of protocol.md, "In bytes"."""

    def __init__(self) -> None:
        self.state = bytes(32)
        self.absorb("protocol", b"zkmargin/margin-argument/v1")

    def absorb(self, label: str, data: bytes) -> None:
        framed = len(label).to_bytes(4, "big") + label.encode() + len(data).to_bytes(8, "big") + data
        self.state = keccak256(self.state + b"\x01" + framed)

    def challenge(self, label: str, bad: Callable[[int], bool] = lambda _: False) -> int:
        framed = len(label).to_bytes(4, "big") + label.encode()
        counter = 0
        while True:
            tail = framed + counter.to_bytes(4, "big")
            halves = [keccak256(self.state + b"\x02" + tail + end) for end in (b"\0", b"\1")]
            x = int.from_bytes(b"".join(halves), "big") % r
            if x and not bad(x):
                self.state = keccak256(self.state + b"\x03" + tail)
                return x
            counter += 1


# --- the argument (protocol.md, section 4) ------------------------------------------------------------------


class Reader:
    """Takes a proof apart, in the order of formats.md."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.points: dict[str, Point] = {}

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def commitments(self, *names: str) -> bytes:
        """Points under these names; gives their bytes."""
        begin = self.at
        self.points |= {name: decode_point(self.take(48), name) for name in names}
        return self.data[begin : self.at]

    def scalar(self, name: str) -> int:
        x = int.from_bytes(self.take(32), "big")
        require(x < r, f"{name}: not canonical")
        return x


def weights_of(circuit: Circuit, rho: int) -> tuple[dict[Atom, int], int]:
    """The weight of each atom, and sigma."""
    weights: dict[Atom, int] = defaultdict(int)
    sigma, power = 0, 1
    for _, _, form in circuit.equations:
        for atom, c in form.terms.items():
            weights[atom] = (weights[atom] + power * c) % r
        sigma = (sigma - power * form.constant) % r
        power = power * rho % r
    return weights, sigma


def public_values(circuit: Circuit, weights: dict[Atom, int], lagrange: list[int]) -> dict[str, int]:
    """Every U at zeta, by column name (circuit.md, section 5)."""
    n, D, U = circuit.n, circuit.D, defaultdict[str, int](int)
    for kind in MATRICES:
        for t, row in enumerate(circuit.rows[kind]):
            for s in range(circuit.segments("positions")):
                part = row[s * (n - 1) : (s + 1) * (n - 1)]
                value = weights[kind, t] * sum(x * L for x, L in zip(part, lagrange, strict=False))
                if kind == "positions":
                    U[f"positions[{s}]"] += value
                for d in range(D) if kind != "positions" else ():
                    U[f"f[{2 * D * s + D * SIDES.index(kind) + d}]"] += n**d * value
    for j in range(len(circuit.assets)):
        U[f"collateral[{j // (n - 1)}]"] += weights["collateral", j] * lagrange[j % (n - 1)]
    cell = 0
    for v, (_, digits) in enumerate(circuit.integers):
        for d in range(digits):
            U[f"f[{circuit.packed + cell // n}]"] += n**d * weights["bounded", v] * lagrange[cell % n]
            cell += 1
    for g in range(len(circuit.gates)):
        for wire in "ABC":
            U[wire] += weights[wire, g] * lagrange[g]
    return U


def check_argument(setup: Setup, public: Public, circuit: Circuit, committed: dict[str, Point], proof: bytes) -> bytes:
    """The statement digest of an accepted proof. ``public`` is what the transcript absorbs first."""
    n, D, c = circuit.n, circuit.D, circuit.columns
    groups = [range(i, min(i + 3, c)) for i in range(0, c, 3)]
    pieces, wires = min(c, 3), "ABC" if circuit.gates else ""
    size = 44 + 48 * (c + 1 + len(wires) + len(groups) + 1 + pieces + 2) + 32 * (c + 1 + bool(wires))
    require(len(proof) == size, f"{len(proof)} bytes, not {size}")
    header = b"zkmargin" + (1).to_bytes(2, "big") + b"\x01\x01" + setup.digest
    require(proof[:44] == header, "another header")
    require(n + 2 <= setup.powers, "the setup is too small")

    transcript = Transcript()
    for label, data in public:
        transcript.absorb(label, data)
    statement_digest = transcript.state
    read = Reader(proof[44:])

    transcript.absorb("f", read.commitments(*(f"f[{i}]" for i in range(c))))
    transcript.absorb("mu", read.commitments("mu"))
    transcript.absorb("gates", read.commitments(*wires))
    beta = transcript.challenge("beta", lambda x: -x % r < n)
    rho = transcript.challenge("rho")
    transcript.absorb("h", read.commitments(*(f"h[{g}]" for g in range(len(groups)))))
    transcript.absorb("phi", read.commitments("phi"))
    chi = transcript.challenge("chi")
    transcript.absorb("T", read.commitments(*(f"T[{i}]" for i in range(pieces))))
    zeta = transcript.challenge("zeta", lambda x: pow(x, n, r) == 1)
    f = [read.scalar(f"f[{i}](zeta)") for i in range(c)]
    phi_next = read.scalar("phi(omega zeta)")
    A = read.scalar("A(zeta)") if wires else 0
    transcript.absorb("f(zeta)", b"".join(x.to_bytes(32, "big") for x in f))
    transcript.absorb("phi(omega zeta)", phi_next.to_bytes(32, "big"))
    transcript.absorb("A(zeta)", A.to_bytes(32, "big") if wires else b"")
    v = transcript.challenge("v")
    transcript.absorb("W", read.commitments("W"))
    transcript.absorb("W'", read.commitments("W'"))
    y = transcript.challenge("y")

    omega = pow(7, (r - 1) // n, r)
    Z = (pow(zeta, n, r) - 1) % r
    roots = [pow(omega, i, r) for i in range(n)]
    lagrange = [x * Z * pow(n * (zeta - x), -1, r) % r for x in roots]
    weights, sigma = weights_of(circuit, rho)
    U = public_values(circuit, weights, lagrange)
    lookup = pow(rho, len(circuit.equations), r)

    # The right side of message 3, at zeta: a constant, and what multiplies each committed polynomial.
    constant, of = phi_next + sigma * pow(n, -1, r), defaultdict[str, int](int)
    of["phi"] -= 1
    for name in (*committed, *wires[1:]):
        of[name] -= U[name]
    constant -= sum(U[f"f[{i}]"] * f[i] for i in range(c)) + (U["A"] * A if wires else 0)
    of["mu"] += lookup * sum(L * pow(beta + i, -1, r) for i, L in enumerate(lagrange))
    power = 1
    for g, group in enumerate(groups):
        power = power * chi % r
        product = 1
        for i in group:
            product = product * (beta + f[i]) % r
        # sum of the products of all others, without dividing: a factor may be zero
        others = 0
        for i in group:
            rest = 1
            for other in group:
                rest = rest * (beta + f[other]) % r if other != i else rest
            others += rest
        of[f"h[{g}]"] += power * product - lookup
        constant -= power * others
    for s in range(circuit.segments("positions") if D else 0):
        power = power * chi % r
        of[f"positions[{s}]"] += power
        constant -= power * sum(n**d * (f[2 * D * s + d] - f[2 * D * s + D + d]) for d in range(D))
    for role in ("positions", "collateral"):
        for s in range(circuit.segments(role)):
            power = power * chi % r
            of[f"{role}[{s}]"] += power * sum(lagrange[row] for row in circuit.unlisted(role, s))
    if wires:
        power = power * chi % r
        of["B"] += power * A
        of["C"] -= power

    # F = D + ...: D is T Z_H(zeta) less the right side.
    F = {name: -x for name, x in of.items()}
    for i in range(pieces):
        F[f"T[{i}]"] = pow(zeta, i * n, r) * Z
    F_constant = -constant
    for i in range(c):
        F[f"f[{i}]"] = pow(v, i + 1, r)
        F_constant -= F[f"f[{i}]"] * f[i]
    if wires:
        F["A"] = pow(v, c + 1, r)
        F_constant -= F["A"] * A
    F["phi"] += y
    F_constant -= y * phi_next
    points = committed | read.points
    terms = [(x, points[name]) for name, x in F.items()] + [(F_constant, curve.G1)]
    left = combine([(1, points["W"]), (y, points["W'"])])
    right = combine([*terms, (zeta, points["W"]), (y * omega * zeta, points["W'"])])
    paired = curve.pairing(setup.tau, left, final_exponentiate=False)
    paired *= curve.pairing(curve.G2, curve.neg(right), final_exponentiate=False)
    require(curve.final_exponentiate(paired) == curve.FQ12.one(), "the pairing check fails")
    return statement_digest


def verify(
    snapshot: bytes,
    commitments: Sequence[bytes],
    claim: str,
    proof: bytes,
    *,
    requirement: str = "initial",
    context: bytes = b"",
    limits: Sequence[str] = (),
    setup: Path = EMBEDDED_SETUP,
    kind: bytes = b"",
    build: Callable[[Json, int, int, str, Sequence[Limit]], Circuit] = build_circuit,
) -> bytes:
    """The statement digest, when the proof is accepted. Another ``kind`` of statement has another circuit.

    Raises:
        Rejected: with the reason.
        Unsupported: the policy has components that are not known here.
    """
    try:
        document = json.loads(Snapshot.parse(snapshot).to_bytes())
    except ZkMarginError as error:
        raise Rejected(f"snapshot: {error}") from None
    require(requirement in ("initial", "maintenance"), "no such requirement")
    require(len(context) <= 1024 and len(limits) <= 64, "a context or a list of limits that is too long")
    num, den = parse_claim(claim)
    stated = [Limit.parse(text) for text in limits]
    circuit = build(document, num, den, requirement, stated)
    loaded = load_setup(setup)
    parts = gather([read_commitment(text) for text in commitments], document, loaded, circuit)
    public = [
        *((("kind", kind),) if kind else ()),
        ("srs", loaded.digest),
        ("snapshot", keccak256(canonical(without_data(document)))),
        ("circuit", circuit.digest()),
        ("claim", f"{num}/{den} {requirement}".encode()),
        ("limits", len(stated).to_bytes(4, "big")),
        *(("limit", str(limit).encode()) for limit in stated),
        ("parts", len(parts).to_bytes(4, "big")),
        *(("part", canonical(part)) for part in parts),
        ("context", context),
    ]
    return check_argument(loaded, public, circuit, add_parts(parts), proof)


def main() -> int:
    parser = argparse.ArgumentParser(description="The second verifier of zkmargin.")
    parser.add_argument("--snapshot", type=Path, required=True)
    parser.add_argument("--commitment", type=Path, action="append", required=True)
    parser.add_argument("--claim", default="1.0")
    parser.add_argument("--requirement", default="initial")
    parser.add_argument("--context", default="")
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("--srs", type=Path, default=EMBEDDED_SETUP)
    parser.add_argument("proof", type=Path)
    given = parser.parse_args()
    try:
        digest = verify(
            given.snapshot.read_bytes(),
            [path.read_bytes() for path in given.commitment],
            given.claim,
            given.proof.read_bytes(),
            requirement=given.requirement,
            context=os.fsencode(given.context),
            limits=given.limit,
            setup=given.srs,
        )
    except Rejected as error:
        sys.stderr.write(f"rejected: {error}\n")
        return 1
    except (Unsupported, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"accepted: statement {digest.hex()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

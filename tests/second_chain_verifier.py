"""A second verifier of ``chain/v1`` and ``chain-joint/v1``, in plain integers and py_ecc, from the texts alone.

Where the product evaluates closed forms, this one adds up every row by its weight; it shares no code with our crypto,
circuits, prover and verifier. Every equation stands in docs/protocol-chain.md (section numbers below) or, for many
accounts, in docs/protocol-chain-joint.md.
"""

from __future__ import annotations

import base64
import importlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from second_circuit import Json, keccak256, r, require
from second_verifier import EMBEDDED_SETUP, combine, load_setup

curve: Any = importlib.import_module("py_ecc.optimized_bls12_381")
n, p = 1024, curve.field_modulus
OMEGA = pow(7, (r - 1) // n, r)
Point = Any
#: Offsets of the indices of A and F after the scenarios of group 0.
LINES = ((3, "added"), (4, "flat"))


def word(x: int) -> bytes:
    return x.to_bytes(32, "big")


def label(text: str) -> bytes:
    return text.encode().ljust(32, b"\0")


def over(x: int) -> int:
    require(x % r != 0, "a denominator vanishes")
    return pow(x, -1, r)


def decode(data: bytes, name: str) -> Point:
    """x || y, canonical, on the curve, in the subgroup, not infinity."""
    x, y = int.from_bytes(data[:48], "big"), int.from_bytes(data[48:], "big")
    require(len(data) == 96 and x < p and y < p, f"{name}: not canonical")
    require(any(data) and (y * y - x**3 - 4) % p == 0, f"{name}: not on the curve")
    point = (curve.FQ(x), curve.FQ(y), curve.FQ(1))
    require(bool(curve.is_inf(curve.multiply(point, r))), f"{name}: not in the subgroup")
    return point


# --- section 2: the table, from the snapshot ---------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """What sections 1 and 2 read of a snapshot, rows of 1024."""

    instruments: int
    scenarios: list[int]
    risk: list[list[list[int]]]  # [g][s][i]
    minimum: list[list[int]]  # [g][i]
    marks: list[int]
    factor: int
    long: list[int]
    short: list[int]
    debts: list[bool]
    lines: dict[str, list[tuple[list[int], list[int]]]]  # by size: floors of each group, A, F; rows on p and on m
    scales: list[int]  # D_g
    offsets: bool
    tails: bool  # every second group holds the tails of the one before it

    def of_tails(self, g: int) -> bool:
        return self.tails and g % 2 == 1

    @property
    def shared(self) -> bool:
        return self.offsets or len(self.scenarios) > 2

    @property
    def packed(self) -> int:
        return 2 if self.shared else len(self.scenarios)

    def places(self) -> list[tuple[int, int]]:
        """First index, counted over both columns, and number of indices of each group (section 3)."""
        if not self.shared:
            return [(64 * g, 64) for g in range(len(self.scenarios))]
        found, begin = [], 0
        for g, count in enumerate(self.scenarios):
            last = 2 if "floor" in self.lines and not self.of_tails(g) else 0
            if g == 0 and "added" in self.lines:
                last = 3
            if g == 0 and "flat" in self.lines:
                last = 4
            size = 4 * -(-(count + last + 1) // 4)
            if not self.offsets and begin < 64 < begin + size:
                begin = 64
            found.append((begin, size))
            begin += size
        require(begin <= 128, "the groups do not fit")
        return found

    def side_rows(self) -> list[list[int]]:
        rows = [row for g, row in enumerate(self.minimum) if g > 1 and not self.of_tails(g)]
        for name in ("floor", "added", "flat"):
            rows = rows + [row for pair in self.lines.get(name, []) for row in pair]
        return rows


def by_size(snapshot: Json, requirement: str, groups: list[int | str]) -> dict[str, list[tuple[list[int], list[int]]]]:
    """The lines by size, rates in 10^-4 of a money unit."""
    found: dict[str, list[tuple[list[int], list[int]]]] = {}
    count = len(snapshot["instruments"])
    for c in snapshot["components"]:
        if c["type"] != "gross_charge" or requirement not in c.get("requirements", [requirement]):
            continue
        sides, pool = [array(c["long"]), array(c["short"])], array(c["pool"])
        rows = [([0] * n, [0] * n) for _ in (groups if c["mode"] == "floor" else [0])]
        for i in range(count):
            if pool[i] >= 0:
                one = c["pools"][pool[i]]
                (line,) = one["lines"]
                g = groups.index(one["group"]) if c["mode"] == "floor" else 0
                for side in (0, 1):
                    rows[g][side][i] += line["slope"] * sides[side][i] * 10**4 // c["scale"]
        found[c["mode"]] = rows
    return found


def array(found: Json) -> list[int]:
    data = base64.b64decode(found["data"])
    return [int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8)]


def padded(row: Sequence[int], length: int = n) -> list[int]:
    return [*row, *[0] * (length - len(row))]


Family = tuple[list[tuple[int, int, int | None]], int, str]
Competing = tuple[list[int | str], list[list[list[int]]], list[int]]


def families_of(part: Json) -> list[Family]:
    return [
        ([(c["group"], c["offset_bp"], c.get("cap")) for c in f["classes"]], len(f["scenarios"]), f["name"])
        for f in part["families"]
    ]


def competing(parts: Json, group: list[int]) -> Competing:
    """For each group where it is charged (a product group's name or a risk group), its rows of 1024, and D_g."""
    if "worst_scenario" in parts:
        worst = parts["worst_scenario"]
        families: list[Family] = [([(g, 10**4, None)], len(labels), "") for g, labels in enumerate(worst["scenarios"])]
    else:
        worst = parts["gain_offset"]
        families = families_of(worst)
        if all(len(classes) == 1 for classes, _, _ in families):  # no gain offsets: risk groups, in their order
            families.sort(key=lambda family: family[0][0][0])
    keys, rows, scales = lines_of(worst, families, group)
    if "dampened_tails" not in parts:
        return keys, rows, scales
    part = parts["dampened_tails"]
    own, lines, factors = lines_of(part, families_of(part), group)
    for g, key in enumerate(keys):
        f = own.index(key)
        dampener, waived = factors[f] * part["dampeners"][f], 1 << 62
        ends = [[*[0] * (n - 1), constant] for constant in (dampener, waived)]
        rows.insert(2 * g + 1, [*lines[f], *ends])
        scales.insert(2 * g + 1, factors[f])
    return keys, rows, scales


def lines_of(worst: Json, families: Sequence[Family], group: list[int]) -> Competing:
    """Section 1, gain offsets: keys, rows and D_g of product groups over a risk array."""
    risk, wide = array(worst["risk"]), worst["risk"]["shape"][1]
    keys: list[int | str] = []
    found, scales = [], []
    for classes, scenarios, name in families:
        of_class = []
        for _, offset, cap in classes:
            lines = [(10**4, 0)]
            if len(classes) > 1 and (offset == 0 or cap == 0):
                lines.append((0, 0))
            elif len(classes) > 1:
                lines += [(offset, 0)] if offset < 10**4 else []
                lines += [(0, 10**4 * cap)] if cap is not None else []
            of_class.append(lines)
        scale = 10**4 // math.gcd(10**4, *(x for lines in of_class for line in lines for x in line))
        rows = []
        for s in range(scenarios):
            for choice in itertools.product(*of_class):
                if any(f for f, _ in choice):
                    factor = {c[0]: f for c, (f, _) in zip(classes, choice, strict=True)}
                    row = [risk[wide * i + s] * factor.get(g, 0) * scale // 10**4 for i, g in enumerate(group)]
                    rows.append([*padded(row, n - 1), sum(k for _, k in choice) * scale // 10**4])
        keys.append(name if len(classes) > 1 else classes[0][0])
        found.append(rows)
        scales.append(scale)
    return keys, found, scales


def layout_of(snapshot: Json, requirement: str) -> Layout:
    parts = {c["type"]: c for c in snapshot["components"] if requirement in c.get("requirements", [requirement])}
    group = [slot["group"] for slot in snapshot["instruments"]]
    count = len(group)
    keys, rows, scales = competing(parts, group)
    tails = "dampened_tails" in parts
    placed = [key if i == 0 else None for key in keys for i in range(1 + tails)]
    charge = array(parts["short_option_minimum"]["charge"]) if "short_option_minimum" in parts else [0] * count
    assets = [slot["negative_allowed"] for slot in snapshot["collateral"]]
    return Layout(
        instruments=count,
        scenarios=[len(own) for own in rows],
        risk=rows,
        minimum=[
            padded([scale * charge[i] if group[i] == key else 0 for i in range(count)])
            for key, scale in zip(placed, scales, strict=True)
        ],
        marks=padded(array(snapshot["marks"])),
        factor=snapshot["policy"]["requirements"][requirement],
        long=padded(array(parts["haircuts"]["long_value"]), 4),
        short=padded(array(parts["haircuts"]["short_value"]), 4),
        debts=[*assets, *[False] * (4 - len(assets))],
        lines=by_size(snapshot, requirement, keys),
        scales=scales,
        offsets=tails or any(isinstance(key, str) for key in keys),
        tails=tails,
    )


def table_hash(table: Json, layout: Layout, assets: int, srs: bytes) -> bytes:
    """The hash that attesters sign, its head made from the snapshot."""
    s = [layout.scenarios[0], sum(count << 8 * i for i, count in enumerate(layout.scenarios[1:]))]
    mask = sum(1 << j for j, owed in enumerate(layout.debts) if owed)
    mask += 128 * layout.offsets + 256 * layout.tails
    mask += sum(1 << 4 + i for i, name in enumerate(("floor", "added", "flat")) if name in layout.lines)
    numbers = b"".join(map(word, (layout.instruments, len(layout.scenarios), *s, mask)))
    pinned, price, rows = bytes.fromhex(table["pinned"]), table["price"], table["rows"]
    digest = keccak256(b"\3" + label("zkmargin/chain-layout/v1") + srs + numbers + pinned)
    values = [sum(x << 64 * j for j, x in enumerate(side)) for side in (layout.long, layout.short)]
    scales = sum((scale - 1) << 40 + 14 * g for g, scale in enumerate(layout.scales))
    content = word(scales + (layout.factor << 8) + assets) + word(values[0]) + word(values[1])
    content += bytes.fromhex(price) + b"".join(map(bytes.fromhex, [*table.get("sides", []), *rows]))
    return keccak256(
        b"\3" + label("zkmargin/chain-table/v1") + bytes.fromhex(table["series"]) + word(table["sequence"])
        + bytes.fromhex(table["snapshot"]) + digest + keccak256(content)
    )  # fmt: skip


# --- section 3: weights, and every public polynomial at zeta, row by row -------------------------------------------


class Public:
    """Public polynomials at zeta for challenges rho, zeta and a claim num : den."""

    def __init__(self, layout: Layout, assets: int, rho: int, zeta: int, num: int, den: int) -> None:
        P = pow(rho, 16, r)
        self.x = [(1 - P) * over(pow(OMEGA, 64 * k, r) - rho) % r for k in range(16)]
        y = [(1 - pow(rho, 4, r)) * over(pow(OMEGA, 256 * j, r) - rho) % r for j in range(4)]
        Z = pow(zeta, n, r) - 1
        roots = [pow(OMEGA, i, r) for i in range(n)]
        self.L = L = [root * Z * over(n * (zeta - root)) % r for root in roots]

        places = layout.places()

        def of_column(c: int, s: int) -> int:
            return pow(rho, 64 * c, r) * self.x[s // 4] * pow(P, s % 4, r) % r

        def weight(g: int, s: int) -> int:
            return of_column(*divmod(places[g][0] + s, 64))

        claim, balance = pow(rho, 128, r), [pow(rho, 129, r) * y_j % r for y_j in y]
        groups = range(len(layout.scenarios))
        self.positions = claim * den * 10**4 * self.at(layout.marks)
        self.long = self.short = self.rows = 0
        for g in groups:
            for s, row in enumerate(layout.risk[g]):
                self.rows += weight(g, s) * self.at(row)
            if layout.scenarios[g] < places[g][1]:
                self.short -= weight(g, layout.scenarios[g]) * self.at(layout.minimum[g])
        self.positions += self.rows
        self.collateral = sum((balance[j] + claim * den * layout.long[j]) * L[j] for j in range(4))

        def number(first: int) -> int:
            return sum(1024**d * L[first + d] for d in range(9))

        self.packed = []
        for c in range(layout.packed):
            self.packed.append(-sum(of_column(c, s) * number(64 * (s // 4) + 9 * (s % 4)) for s in range(64)))
        for g in groups:
            every = sum(weight(g, s) for s in range(places[g][1]))
            if layout.of_tails(g):
                within, covered = (weight(g, layout.scenarios[g] - back) for back in (2, 1))
                every = layout.scales[g] * (every - 2 * within - 2 * covered)
                self.packed[0] += (2**89 * within - 2**62 * covered) * number(64 * (8 + g) + 46)
                self.packed[1] += every * number(64 * g + 55)
                continue
            if "floor" in layout.lines:
                every -= weight(g, layout.scenarios[g] + 1)
            if g == 0:
                every -= sum(weight(0, layout.scenarios[0] + i) for i, name in LINES if name in layout.lines)
            every = layout.scales[g] * every - claim * num * layout.factor
            if layout.tails:
                every += layout.scales[g + 1] * weight(g + 1, layout.scenarios[g + 1] - 1)
            if layout.shared:
                self.packed[1] += every * number(64 * g + 55)
            else:
                self.packed[g] += every * number(46)
        in_claim = {"added": claim * num * layout.factor, "flat": claim * num * 10**4}
        for name, pairs in layout.lines.items():
            for place, (on_p, on_m) in enumerate(pairs):
                g = place * (1 + layout.tails)
                index = layout.scenarios[g] + {"floor": 1, "added": 3, "flat": 4}[name]
                w = weight(g, index)
                self.long -= w * self.at(on_p)
                self.short -= w * self.at(on_m)
                other = layout.scales[g] * weight(g, index + 1) if name == "floor" else in_claim[name]
                first = {"floor": 64 * (8 + g) + 46, "added": 174, "flat": 238}[name]
                self.packed[0] += (10**4 * w - other) * number(first)
        self.packed[0] -= claim * sum(1024**d * L[110 + d] for d in range(12))
        for j in range(4):
            self.packed[0] -= balance[j] * sum(1024**d * L[256 * j + 36 + d] for d in range(5))
            owed = balance[j] - claim * den * (layout.short[j] - layout.long[j])
            if layout.debts[j]:
                self.packed[0] += owed * sum(1024**d * L[256 * j + 41 + d] for d in range(5))
        self.t = sum(i * L[i] for i in range(n)) % r
        self.sel_p, self.sel_c = sum(L[layout.instruments :]) % r, sum(L[assets:]) % r
        self.table = [self.t, self.sel_p]
        self.table.append(sum(1024**d * L[46 + d] for d in range(9)) % r)
        self.table.append(sum(1024**d * L[110 + d] for d in range(12)) % r)
        minimums = [self.at(row) for row in layout.minimum[:2]]
        self.price = [self.at(layout.marks), *padded(minimums, layout.packed)]
        self.sides = [self.at(row) for row in layout.side_rows()]
        self.r = [
            sum(
                pow(rho, (places[g][0] + s) // 64 * 64, r) * self.x[(places[g][0] + s) // 4 % 16] * self.at(row)
                for g in groups
                for s, row in enumerate(layout.risk[g])
                if s % 4 == a
            )
            % r
            for a in range(4)
        ]
        self.claim_weight, self.rho, self.Z = claim, rho, Z

    def at(self, row: Sequence[int]) -> int:
        return sum(x * L for x, L in zip(row, self.L, strict=True)) % r


# --- section 4: the messages ----------------------------------------------------------------------------------------


class Proof:
    """A proof taken apart: points by kind, values by kind, as one account's or many accounts' text orders them."""

    def __init__(self, body: bytes, m: int, groups: int, side_rows: int, *, joint: bool) -> None:
        sides, packed = 6 * m, groups * m
        F = 2 * m + -(-(packed + 1) // 3) if joint else 3
        H = -(-F // 3)
        count = F + H + 4
        self.raw = [body[96 * i : 96 * i + 96] for i in range(count)]
        scalars = body[96 * count :]
        size = sides + packed + 1 + F + 2 + 4 + 4 + 2 + (groups - 1) + side_rows
        require(len(body) == 96 * count + 32 * size, "another length")
        self.values = scalars
        v = [int.from_bytes(scalars[i : i + 32], "big") for i in range(0, len(scalars), 32)]
        require(all(x < r for x in v), "a scalar that is not canonical")

        def take(k: int) -> list[int]:
            found, v[:k] = v[:k], []
            return found

        self.sides = take(sides)
        self.packed = take(packed if joint else 1)
        (self.mu,) = take(1)
        self.h = take(F)
        self.phi, self.phi_shifted = take(2)
        self.r, self.pinned, self.price = take(4), take(4), take(2)
        self.price += take(groups - 1)
        self.packed += take(0 if joint else groups - 1)
        self.side_rows = v
        self.F, self.H = self.raw[:F], self.raw[F : F + H]
        self.phi_point, self.T, self.W, self.W_shifted = self.raw[F + H :]


class Transcript:
    def __init__(self, statement: bytes) -> None:
        self.state = keccak256(b"\0" + statement)

    def absorb(self, *data: bytes) -> None:
        self.state = keccak256(b"\1" + self.state + b"".join(data))

    def challenge(self, i: int = 0) -> int:
        halves = [keccak256(b"\2" + self.state + bytes([2 * i + j])) for j in (0, 1)]
        x = int.from_bytes(b"".join(halves), "big") % r
        require(x != 0, "a challenge is zero")
        return x


def row(h: int, fractions: Sequence[tuple[int, int]]) -> int:
    """h prod b - sum_i s_i prod_{j != i} b_j."""
    total = h
    for b, _ in fractions:
        total = total * b % r
    for i, (_, s) in enumerate(fractions):
        term = s
        for j, (b, _) in enumerate(fractions):
            term = term * b % r if j != i else term
        total -= term
    return total % r


def cut(values: Sequence[Any]) -> list[list[Any]]:
    return [list(values[i : i + 3]) for i in range(0, len(values), 3)]


def verify(
    snapshot: Json,
    table: Json,
    accounts: Sequence[tuple[bytes, bytes]],
    claim: tuple[int, int],
    context: bytes,
    data: bytes,
    *,
    joint: bool,
) -> bytes:
    """The statement digest of an accepted proof file. Raises Rejected.

    Args:
        accounts: positions and collateral of each, 96 bytes; one account where the proof is not joint.
    """
    setup = load_setup(EMBEDDED_SETUP)
    require(data[:44] == b"zkmargin\0\1\1" + bytes([17 if joint else 16]) + setup.digest, "another header")
    num, den = claim
    require(1 <= num < 1 << 16 and 1 <= den < 1 << 16, "the claim is out of range")
    layout, assets, m = layout_of(snapshot, table["requirement"]), len(snapshot["collateral"]), len(accounts)
    groups = layout.packed
    proof = Proof(data[44:], m, groups, len(layout.side_rows()), joint=joint)
    points = {raw: decode(raw, f"point {i}") for i, raw in enumerate(proof.raw)}

    name = "zkmargin/chain-joint/v1" if joint else "zkmargin/chain/v1"
    public = [word(m)] if joint else []
    public += [word(num), word(den), *(point for account in accounts for point in account)]
    tr = Transcript(
        label(name) + table_hash(table, layout, assets, setup.digest) + keccak256(context) + b"".join(public)
    )
    digest = tr.state
    tr.absorb(*proof.F)
    beta, rho = tr.challenge(0), tr.challenge(1)
    tr.absorb(*proof.H, proof.phi_point)
    chi = tr.challenge()
    tr.absorb(proof.T)
    zeta = tr.challenge()
    tr.absorb(proof.values)
    gamma = tr.challenge()
    tr.absorb(proof.W)
    x = tr.challenge()

    U = Public(layout, assets, rho, zeta, num, den)
    require(proof.r == U.r, "r at zeta is not the snapshot's")
    require(proof.pinned == U.table, "t, sel_p, W or claim at zeta is not the layout's")
    require(proof.price == U.price, "marks or a minimum at zeta is not the snapshot's")
    require(proof.side_rows == U.sides, "a side row at zeta is not the snapshot's")

    # the identity of message 3 at zeta: Z T + sum_a c_pos positions_a + c_col collateral_a = d
    columns = [(v, (beta + v, 1)) for v in proof.sides]
    table_side = (proof.mu, (beta + U.t, -proof.mu))
    packed = [(v, (beta + v, 1)) for v in proof.packed]
    if not joint and groups == 1:
        packed.append((0, (beta, 1)))  # an f_7 of zeros
    threes = [*cut(columns), *cut([*packed, table_side])]
    look = pow(rho, 133 * m, r)
    d = proof.phi_shifted - proof.phi - look * sum(proof.h)
    stride = 5 if joint else 0
    c_pos, c_col = [], []
    for a in range(m):
        w, f = pow(rho, 133 * a, r), proof.sides[6 * a : 6 * a + 6]
        long, short = (sum(1024**i * v for i, v in enumerate(side)) for side in (f[:3], f[3:]))
        own = proof.packed[groups * a : groups * (a + 1)]
        d -= w * (U.long * long + U.short * short + sum(u * v for u, v in zip(U.packed, own, strict=True)))
        d -= w * U.sel_p * U.rows if layout.offsets else 0  # the constants
        helpers = [row(proof.h[2 * a + i], [b for _, b in threes[2 * a + i]]) for i in (0, 1)]
        first = stride * a
        d += pow(chi, first + 1, r) * helpers[0] + pow(chi, first + 2, r) * helpers[1]
        digits, listed, funded = (pow(chi, first + i + (0 if joint else 1), r) for i in (3, 4, 5))
        d -= digits * (long - short)
        c_pos.append(w * U.positions - digits - listed * U.sel_p)
        c_col.append(w * U.collateral - funded * U.sel_c)
    for k in range(2 * m, len(threes)):
        power = 5 * m + 1 + k - 2 * m if joint else 3
        d += pow(chi, power, r) * row(proof.h[k], [b for _, b in threes[k]])

    # messages 5 and 6: all openings at once
    over_1, over_3, over_4 = over(x - zeta), over(x**3 - zeta), over(x**4 - zeta)
    over_2 = over((x - zeta) * (x - OMEGA * zeta))
    slope = (proof.phi_shifted - proof.phi) * over((OMEGA - 1) * zeta)
    terms = [(over_1 * U.Z, points[proof.T])]
    for (positions, collateral), one, two in zip(accounts, c_pos, c_col, strict=True):
        terms += [(over_1 * one, decode(positions, "positions")), (over_1 * two, decode(collateral, "collateral"))]
    constant, power = over_1 * d, 1

    def opened(scale: int, point: Point, values: Sequence[int]) -> None:
        nonlocal constant
        terms.append((scale, point))
        constant += scale * sum(v * pow(x, i, r) for i, v in enumerate(values))

    held = [[v for v, _ in three] for three in threes] + cut(proof.h)
    for raw, values in zip([*proof.F, *proof.H], held, strict=True):
        power = power * gamma % r
        opened(power * over_3, points[raw], values)
    power = power * gamma % r
    opened(power * over_2, points[proof.phi_point], [proof.phi - slope * zeta, slope])
    power = power * gamma % r
    constant += power * over_4 * sum(v * pow(x, i, r) for i, v in enumerate(proof.r))
    at = 0
    for (begin, _), count in zip(layout.places(), layout.scenarios, strict=True):
        for index in range(begin, begin + count, 4):
            scale = power * over_4 * pow(rho, index // 64 * 64, r) * U.x[index // 4 % 16]
            terms.append((scale, decode(bytes.fromhex(table["rows"][at]), "a table point")))
            at += 1
    require(at == len(table["rows"]), "another number of table points")
    price = [*proof.price, *[0] * (3 - len(proof.price)), 1]
    tables = [(table["pinned"], proof.pinned), (table["price"], price)]
    packs = [padded(proof.side_rows[i : i + 4], 4) for i in range(0, len(proof.side_rows), 4)]
    tables += zip(table.get("sides", []), packs, strict=True)
    for text, values in tables:
        power = power * gamma % r
        opened(power * over_4, decode(bytes.fromhex(text), "a table point"), values)
    terms += [(-constant, curve.G1), (-1, points[proof.W]), (x, points[proof.W_shifted])]
    left = curve.pairing(curve.G2, combine(terms), final_exponentiate=False)
    right = curve.pairing(setup.tau, curve.neg(points[proof.W_shifted]), final_exponentiate=False)
    require(curve.final_exponentiate(left * right) == curve.FQ12.one(), "the pairing equation")
    return digest

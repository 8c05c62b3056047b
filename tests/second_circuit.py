"""The circuit of a snapshot, a claim and limits, written from docs/circuit.md and docs/formats.md alone.

The first half of the second verifier (tests/second_verifier.py): ints and the standard library, nothing of ours.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

#: The order of the scalar field of BLS12-381.
r = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001

Json = Any


class Rejected(Exception):  # noqa: N818 - it is a verdict
    """The proof, or a document it is checked against, is refused; the message says why."""


class Unsupported(Exception):  # noqa: N818
    """The policy has a component that this verifier does not know."""


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise Rejected(reason)


# --- keccak-256 and canonical JSON (formats.md) -------------------------------------------------------------


def _rotate(x: int, by: int) -> int:
    return (x << by | x >> 64 - by) & (1 << 64) - 1


def _keccak_tables() -> tuple[list[int], list[tuple[int, int]]]:
    """Round constants; and for each lane of pi(rho(A)), the lane it comes from and its rotation."""
    constants, state = [], 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            constant |= (state & 1) << ((1 << bit) - 1)
            state = state << 1 ^ (state >> 7) * 0x171
        constants.append(constant)
    moves, (x, y) = [(0, 0)] * 25, (1, 0)
    for t in range(24):
        moves[y + 5 * ((2 * x + 3 * y) % 5)] = (x + 5 * y, (t + 1) * (t + 2) // 2 % 64)
        x, y = y, (2 * x + 3 * y) % 5
    return constants, moves


ROUND_CONSTANTS, MOVES = _keccak_tables()
RATE = 136


def keccak256(data: bytes) -> bytes:
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % RATE))
    padded[-1] |= 0x80
    a = [0] * 25
    for at in range(0, len(padded), RATE):
        for lane in range(RATE // 8):
            a[lane] ^= int.from_bytes(padded[at + 8 * lane : at + 8 * lane + 8], "little")
        for constant in ROUND_CONSTANTS:
            c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
            d = [c[x - 1] ^ _rotate(c[(x + 1) % 5], 1) for x in range(5)]
            b = [_rotate(a[source] ^ d[source % 5], by) for source, by in MOVES]
            a = [b[i] ^ ~b[i - i % 5 + (i + 1) % 5] & b[i - i % 5 + (i + 2) % 5] for i in range(25)]
            a[0] ^= constant
    return b"".join(lane.to_bytes(8, "little") for lane in a[:4])


def canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def int64_bytes(values: Iterable[int]) -> bytes:
    return b"".join(x.to_bytes(8, "little", signed=True) for x in values)


def array(value: Json) -> list[int]:
    """The elements of an array of a document, row by row."""
    raw = base64.b64decode(value["data"], validate=True)
    return [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw), 8)]


def without_data(value: Json) -> Json:
    """A document as its digest sees it: arrays by shape and checksum, the checksum computed anew."""
    if isinstance(value, list):
        return [without_data(x) for x in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"shape", "keccak256", "data"}:
        return {"shape": value["shape"], "keccak256": keccak256(base64.b64decode(value["data"])).hex()}
    return {key: without_data(x) for key, x in value.items()}


# --- the circuit (circuit.md) -------------------------------------------------------------------------------

Atom = tuple[str, int]
SIDES = ("long", "short")
MATRICES = ("positions", *SIDES)


@dataclass(frozen=True)
class Form:
    constant: int = 0
    terms: dict[Atom, int] = field(default_factory=dict)

    def __add__(self, other: Form) -> Form:
        atoms = self.terms | other.terms
        sums = {a: self.terms.get(a, 0) + other.terms.get(a, 0) for a in atoms}
        return Form(self.constant + other.constant, {a: c for a, c in sums.items() if c})

    def __sub__(self, other: Form) -> Form:
        return self + other * -1

    def __mul__(self, by: int) -> Form:
        return Form(self.constant * by, {a: c * by for a, c in self.terms.items() if by})

    def canonical(self) -> Json:
        return [str(self.constant), [[kind, index, str(c)] for (kind, index), c in sorted(self.terms.items())]]


@dataclass
class Circuit:
    """Section 1 of circuit.md. ``assets`` are (bits, negative allowed)."""

    n: int
    slots: int
    position_bits: int
    range_proved: bool
    assets: list[tuple[int, bool]]
    rows: dict[str, list[list[int]]] = field(default_factory=lambda: {kind: [] for kind in MATRICES})
    integers: list[tuple[str, int]] = field(default_factory=list)
    gates: list[tuple[Form, Form]] = field(default_factory=list)
    equations: list[tuple[str, str, Form]] = field(default_factory=list)
    #: Of a universe: how many slots of each role there is room for, and which are retired.
    capacity: dict[str, int] = field(default_factory=dict)
    retired: dict[str, list[int]] = field(default_factory=lambda: {"positions": [], "collateral": []})

    @property
    def k(self) -> int:
        return self.n.bit_length() - 1

    @property
    def D(self) -> int:
        return -(-self.position_bits // self.k) if self.range_proved else 0

    @property
    def P(self) -> int:
        return (1 << self.k * self.D if self.range_proved else 1 << self.position_bits) - 1

    def balance_bound(self, j: int) -> int:
        return (1 << self.k * -(-self.assets[j][0] // self.k)) - 1

    def range_of(self, atom: Atom) -> tuple[int, int]:
        kind, index = atom
        if kind == "collateral":
            bound = self.balance_bound(index)
            return (-bound if self.assets[index][1] else 0), bound
        if kind == "bounded":
            return 0, (1 << self.k * self.integers[index][1]) - 1
        if kind in "ABC":
            left, right = map(self.ends, self.gates[index])
            products = [x * y for x in left for y in right]
            return {"A": left, "B": right, "C": (min(products), max(products))}[kind]
        row = self.rows[kind][index]
        if kind == "positions":
            return -self.P * sum(map(abs, row)), self.P * sum(map(abs, row))
        return self.P * sum(x for x in row if x < 0), self.P * sum(x for x in row if x > 0)

    def ends(self, form: Form) -> tuple[int, int]:
        """The least and the greatest value of a form."""
        least = greatest = form.constant
        for atom, c in form.terms.items():
            low, high = self.range_of(atom)
            least += c * (low if c > 0 else high)
            greatest += c * (high if c > 0 else low)
        return least, greatest

    def greatest(self, form: Form) -> int:
        return self.ends(form)[1]

    def row(self, side: str, coefficients: list[int]) -> Form:
        if not any(coefficients):
            return Form()
        require(side == "positions" or self.range_proved, "a charge on sides needs range-proved positions")
        self.rows[side].append(coefficients)
        return Form(0, {(side, len(self.rows[side]) - 1): 1})

    def integer(self, name: str, upper: int) -> Form:
        self.integers.append((name, max(1, -(-max(upper, 0).bit_length() // self.k))))
        return Form(0, {("bounded", len(self.integers) - 1): 1})

    def equal(self, rule: str, name: str, form: Form) -> None:
        least, greatest = self.ends(form)
        require(max(-least, greatest) < r // 2, f"{rule}, {name}: could wrap around the field")
        self.equations.append((rule, name, form))

    def not_negative(self, rule: str, name: str, form: Form) -> None:
        slack = self.integer(f"slack of {rule}: {name}", self.greatest(form))
        self.equal(rule, name, form - slack)

    def gate(self, a: Form, b: Form) -> Form:
        """The product of two forms."""
        g = len(self.gates)
        self.gates.append((a, b))
        require(max(map(abs, self.range_of(("C", g)))) < r // 2, "a product could wrap around the field")
        self.equal("product gate", f"gate {g} left", a - Form(0, {("A", g): 1}))
        self.equal("product gate", f"gate {g} right", b - Form(0, {("B", g): 1}))
        return Form(0, {("C", g): 1})

    def at_least(self, rule: str, name: str, forms: list[Form]) -> Form:
        x = self.integer(f"{rule}: {name}", max(map(self.greatest, forms)))
        for form in forms:
            self.not_negative(rule, name, x - form)
        return x

    # section 5: layout

    def segments(self, role: str) -> int:
        return max(1, -(-max(self.listed(role), self.capacity.get(role, 0)) // (self.n - 1)))

    def unlisted(self, role: str, s: int) -> list[int]:
        """The rows of a segment that are forced to zero: behind the last slot, and those of retired ones."""
        used = min(max(self.listed(role) - s * (self.n - 1), 0), self.n - 1)
        gone = [slot - s * (self.n - 1) for slot in self.retired[role] if slot // (self.n - 1) == s]
        return sorted({*range(used, self.n), *gone})

    def listed(self, role: str) -> int:
        return self.slots if role == "positions" else len(self.assets)

    @property
    def packed(self) -> int:
        """The first packed column."""
        return self.segments("positions") * 2 * self.D

    @property
    def columns(self) -> int:
        return self.packed + max(1, -(-sum(digits for _, digits in self.integers) // self.n))

    # section 6

    def digest(self) -> bytes:
        matrices = {
            kind: [[len(rows), self.slots], keccak256(int64_bytes(x for row in rows for x in row)).hex()]
            for kind, rows in self.rows.items()
        }
        natural = [max(1, -(-self.listed(role) // (self.n - 1))) for role in self.retired]
        segments = [self.segments(role) for role in self.retired]
        universe = any(self.retired.values()) or segments != natural
        document = {
            **({"retired": self.retired, "segments": segments} if universe else {}),
            "format": f"zkmargin/circuit/v{2 if universe else 1}",
            "n": self.n,
            "positions": [self.slots, self.D, self.P],
            "collateral": len(self.assets),
            "matrices": matrices,
            "bounded": [list(x) for x in self.integers],
            "gates": [[a.canonical(), b.canonical()] for a, b in self.gates],
            "equations": [[rule, name, form.canonical()] for rule, name, form in self.equations],
        }
        return keccak256(canonical(document))


# --- claims and limits (circuit.md, section 4) --------------------------------------------------------------

DECIMAL = r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
LIMIT = re.compile(rf"(?:(headroom)()|(net-exposure|gross-exposure|position|collateral) (\S+)) (<=|>=) ({DECIMAL})")


@dataclass(frozen=True)
class Limit:
    kind: str
    subject: str
    relation: str
    bound: Fraction

    @classmethod
    def parse(cls, text: str) -> Limit:
        match = LIMIT.fullmatch(text)
        if match is None:
            raise Rejected(f"not a limit: {text}")
        kind, subject, relation = match[1] or match[3], match[2] or match[4] or "", match[5]
        require((relation == ">=") == (kind in ("headroom", "collateral")), f"the wrong relation: {text}")
        return cls(kind, subject, relation, Fraction(match[6]))

    def __str__(self) -> str:
        return " ".join(x for x in (self.kind, self.subject, self.relation, str(self.bound)) if x)


def encode_limit(circuit: Circuit, snapshot: Json, limit: Limit, headroom: Form) -> None:
    def within(form: Form) -> None:
        circuit.not_negative(f"limit {limit.kind}", str(limit), form)

    def only(key: str, values: Sequence[int]) -> list[int]:
        return [x if i[key] == limit.subject else 0 for i, x in zip(snapshot["instruments"], values, strict=True)]

    where = {"position": ("instruments", "id"), "collateral": ("collateral", "asset")}
    listing, key = where.get(limit.kind, ("instruments", "underlying"))
    names = [slot[key] for slot in snapshot[listing]]
    require(limit.kind == "headroom" or limit.subject in names, f"the snapshot has no {limit.subject}")
    if limit.kind == "headroom":
        within(headroom - Form(-(-limit.bound * 10**13 // 1)))
        return
    at = names.index(limit.subject)
    if limit.kind == "collateral":
        bound = -(-limit.bound / Fraction(snapshot["collateral"][at]["lot"]) // 1)
        within(Form(-bound, {("collateral", at): 1}))
        return
    if limit.kind == "position":
        bound = limit.bound // Fraction(snapshot["instruments"][at]["lot"])
        coefficients = [int(i == at) for i in range(len(names))]
    else:
        bound = limit.bound * 10**9 // 1
        coefficients = only("underlying", array(snapshot["deltas"]))
    if limit.kind == "gross-exposure":
        sizes = [abs(x) for x in coefficients]
        within(Form(bound) - circuit.row("long", sizes) - circuit.row("short", sizes))
        return
    net = circuit.row("positions", coefficients)
    within(Form(bound) - net)
    within(Form(bound) + net)


def parse_claim(text: str) -> tuple[int, int]:
    numbers = text.split("/")
    require(len(numbers) <= 2 and all(re.fullmatch(DECIMAL, x) for x in numbers), "not a claim")
    require(Fraction(numbers[-1]) > 0, "not a claim")
    ratio = Fraction(numbers[0]) / Fraction(numbers[1] if len(numbers) == 2 else 1)
    require(0 < ratio.numerator < 1 << 16 and ratio.denominator < 1 << 16, "not a claim")
    return ratio.numerator, ratio.denominator

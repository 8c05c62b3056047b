"""A second verifier of venue proofs, in pure Python, written from docs/protocol-venue.md and docs/formats.md alone.

It shares no code with our crypto, circuits, prover and verifier; group and transcript are tests/second_verifier.py's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import second_verifier as second
from second_circuit import (
    MATRICES,
    Circuit,
    Form,
    Json,
    Rejected,  # noqa: F401 - the verdict of verify()
    canonical,
    keccak256,
    r,
    require,
    without_data,
)
from second_components import begin, required_of
from second_verifier import Setup

from zkmargin.engine.snapshot import Snapshot


class VenueTranscript(second.Transcript):
    def __init__(self) -> None:
        self.state = bytes(32)
        self.absorb("protocol", b"zkmargin/venue/v1")


def digits_of(bits: int, k: int) -> int:
    return max(1, -(-bits // k))


class Account(Circuit):
    """Section 3 for other policies: the circuit of one account, in digits of k bits.

    ``lots`` and ``expected`` are of a block; a dense account has the ranges of circuit.md.
    """

    lots = expected = 0

    def range_of(self, atom: tuple[str, int]) -> tuple[int, int]:
        return self.reach(atom, self.expected)

    def reach(self, atom: tuple[str, int], lots: int) -> tuple[int, int]:
        kind, index = atom
        if not lots or kind not in MATRICES:
            return super().range_of(atom)
        low, high = lots * min(0, *self.rows[kind][index]), lots * max(0, *self.rows[kind][index])
        return (-max(-low, high), max(-low, high)) if kind == "positions" else (low, high)

    def widest(self, form: Form) -> tuple[int, int]:
        """The ends of a form by all lots that digits admit."""
        low = high = form.constant
        for atom, c in form.terms.items():
            ends = self.reach(atom, self.lots)
            low, high = low + c * ends[c < 0], high + c * ends[c > 0]
        return low, high

    def write(self, snapshot: Json, requirement: str) -> None:
        margin = begin(snapshot, self)
        required = required_of(margin, requirement)
        if any(kind in MATRICES for kind, _ in required.terms):
            bound = self.integer("requirement", self.greatest(required))
            self.not_negative("requirement", "requirement", bound - required)
            required = bound
        require(not self.gates, "policy: products")
        self.held = [next(iter(form.terms))[1] for form in margin.held]
        self.owed = [next((v for _, v in form.terms), None) for form in margin.owed]
        self.collateral_value, self.required = margin.equity, required
        self.kept = [form for rule, _, form in self.equations if rule != "collateral bound"]
        for form in self.kept:
            require(max(-self.widest(form)[0], self.widest(form)[1]) < r // 2, "could wrap around the field")


class Owner:
    """A set of block columns, or a dense account: its integers, cells and offsets of gamma."""

    account: Account | None = None

    def __init__(self, venue: Venue, stated: Json, groups: list[int], charge: list[int], value: int) -> None:
        k, self.venue, self.claim, self.beyond = venue.k, venue, stated["claim"], 0
        claim = self.claim
        for limit in stated.get("limits", ()):
            kind, relation, bound = limit.split(" ")
            require((kind, relation) == ("headroom", ">="), "terms: limits")
            self.beyond = venue.DEN * -(-Fraction(bound) * 10**13 // 1)
        if self.account is not None:
            self.integers: list[tuple[str, int]] = [
                (f"v {v}", digits) for v, (_, digits) in enumerate(self.account.integers)
            ]
            self.price(value, *self.bounds(self.account))
            return
        self.integers = [(f"charge {s}", digits) for s, digits in enumerate(charge)]
        for s, count in enumerate(groups):
            self.integers += [(f"slack {s} {j}", charge[s]) for j in range(count)]
            if venue.som is not None:
                self.integers.append((f"slack {s} minimum", charge[s]))
        held = owed = 0
        for j, slot in enumerate(venue.assets):
            digits = digits_of(slot["bits"], k)
            self.integers.append((f"held {j}", digits))
            held += venue.long[j] * (2 ** (k * digits) - 1)
            if slot["negative_allowed"]:
                self.integers.append((f"owed {j}", digits))
                owed += venue.short[j] * (2 ** (k * digits) - 1)
        low = high = 0
        if claim is not None:
            ratio = Fraction(claim)
            self.requirement = ratio.numerator * (venue.DEN // ratio.denominator) * venue.factor
            low = venue.DEN * owed + self.requirement * sum(2 ** (k * digits) - 1 for digits in charge)
            high = venue.DEN * held
        self.price(value, low, high)

    def bounds(self, account: Account) -> tuple[int, int]:
        """What the integers of a claim take away from it and add to it at most."""
        if self.claim is None:
            return 0, 0
        ratio, DEN = Fraction(self.claim), self.venue.DEN
        whole = account.required * (ratio.numerator * (DEN // ratio.denominator))
        self.in_claim = account.collateral_value * DEN - whole
        low, high = account.widest(self.in_claim)
        return -low, high

    def price(self, value: int, low: int, high: int) -> None:
        """The claim's integers, and the cells of all."""
        venue, k, self.big = self.venue, self.venue.k, 0
        if self.claim is not None:
            upper = venue.DEN * 10**4 * value + high
            if venue.terms["exempt"] is not None:
                self.big = venue.DEN * 10**4 * value + low + self.beyond
                upper += self.big
                self.integers += [("exempt", 1), ("not exempt", 1)]
            if venue.cap is not None:
                digits = digits_of(venue.cap.bit_length(), k)
                self.integers.append(("shortfall", digits))
                upper += venue.DEN * (2 ** (k * digits) - 1)
            self.integers.append(("claim", digits_of(upper.bit_length(), k)))
        self.cells: dict[str, list[int]] = {}
        at = 0
        for name, digits in self.integers:
            self.cells[name] = list(range(at, at + digits))
            at += digits
        self.used_cells = at

    def reads(self, name: str, gs: Any, ga: int) -> int:
        """What an integer is multiplied by in all equations; gs gives a slot's power of gamma."""
        v, words = self.venue, name.split()
        rho, e = v.rho, v.e
        total = 0
        match words[0]:
            case "v":
                total = self.reads_integer(int(words[1]), gs, ga)
            case "charge":
                s = int(words[1])
                total = gs(s) * sum(rho[j] for j in range(self.scenarios[s]))
                total += gs(s) * rho[v.S] if v.som is not None else 0
                total -= self.requirement * rho[e] * ga if self.claim is not None else 0
            case "slack":
                total = -gs(int(words[1])) * rho[v.S if words[2] == "minimum" else int(words[2])]
            case "held" | "owed":
                j, sign = int(words[1]), 1 if words[0] == "held" else -1
                rate = v.long[j] if sign == 1 else -v.short[j]
                total = v.DEN * rate * rho[e] * ga if self.claim is not None else 0
                total += rho[e + 5 + j] if sign == 1 and v.terms["totals"] is not None else 0
                total -= sign * rho[e + 5 + v.M + j] * ga if self.dense else 0
            case "exempt":
                total = (rho[e + 1] + self.big * rho[e]) * ga + rho[e + 2]
            case "not":
                total = rho[e + 1] * ga
            case "shortfall":
                total = v.DEN * rho[e] * ga + rho[e + 3]
            case "claim":
                total = -rho[e] * ga
        return total % r

    def reads_integer(self, index: int, gs: Any, ga: int) -> int:
        v, rho, e, account = self.venue, self.venue.rho, self.venue.e, self.account
        assert account is not None
        total: int = gs(0) * sum(rho[j] * form.terms.get(("bounded", index), 0) for j, form in enumerate(account.kept))
        if self.claim is not None:
            total += rho[e] * ga * self.in_claim.terms.get(("bounded", index), 0)
        for j, (held, owed) in enumerate(zip(account.held, account.owed, strict=True)):
            if index == held and v.terms["totals"] is not None:
                total += rho[e + 5 + j]
            if self.dense and index in (held, owed):
                total += (1 if index == owed else -1) * rho[e + 5 + v.M + j] * ga
        return total

    def constant(self) -> int:
        """What the equations of the slot family have on their right, by rho."""
        kept = [] if self.account is None else self.account.kept
        return -sum(self.venue.rho[j] * form.constant for j, form in enumerate(kept))

    scenarios: list[int]
    dense = False


class Block(Owner):
    def __init__(self, venue: Venue, spec: Json) -> None:
        self.spec, k = spec, venue.k
        self.B, self.K, self.T = spec["block"], spec["slots"], venue.n // spec["block"]
        self.V = self.B // self.K
        self.Lambda = -(-spec["legs"] // self.V)
        self.D = digits_of(spec["position_bits"], k)
        self.scenarios = [venue.S] * self.K
        lots = self.V * self.Lambda * (2 ** (k * self.D) - 1)
        W = digits_of(spec["charge_bits"], k)
        value = self.K * lots * max((abs(mark) for mark in venue.marks), default=0)
        if venue.other:
            require(self.K == 1, "terms: several slots")
            self.account = venue.account(spec["position_bits"])
            self.account.lots = lots
            self.account.expected = max(1, min(lots, 2 ** spec["charge_bits"] // venue.largest))
            self.account.write(venue.snapshot, venue.terms["requirement"])
        super().__init__(venue, spec, self.scenarios, [W] * self.K, value)
        self.packed = 2 * self.D * self.Lambda
        self.columns = self.packed + -(-self.used_cells // self.B)
        self.sets = -(-spec["accounts"] // self.T)


class Dense(Owner):
    dense = True

    def __init__(self, venue: Venue, stated: Json) -> None:
        n, k = venue.n, venue.k
        self.D = digits_of(venue.snapshot["layout"]["position_bits"], k)
        bound = 2 ** (k * self.D) - 1
        self.scenarios = venue.group_scenarios
        charge = []
        for g, count in enumerate(self.scenarios):
            inside = [i for i in range(venue.N) if venue.grp[i] == g]
            losses = [sum(abs(venue.R[i][j]) for i in inside) for j in range(count)]
            losses += [sum(venue.som[i] for i in inside)] if venue.som is not None else [0]
            charge.append(digits_of((2 * bound * max(losses)).bit_length(), k))
        value = bound * sum(abs(mark) for mark in venue.marks)
        if venue.other:
            self.account = venue.account(venue.snapshot["layout"]["position_bits"])
            self.account.write(venue.snapshot, venue.terms["requirement"])
        super().__init__(venue, stated, self.scenarios, charge, value)
        self.packed = 2 * self.D * venue.segments
        self.balance_segments = max(1, -(-venue.M // (n - 1)))


class Venue:
    """The statement: snapshot and terms in integers."""

    rho: list[int]  # the powers of a challenge: check() writes them here

    def __init__(self, snapshot: Json, terms: Json) -> None:
        self.snapshot, self.terms = snapshot, terms
        self.n, self.k, self.g = terms["domain_size"], terms["digit_bits"], terms["helper_group"]
        require(self.n == snapshot["layout"]["domain_size"], "terms: another domain size")
        self.grp = [slot["group"] for slot in snapshot["instruments"]]
        self.assets = snapshot["collateral"]
        self.N, self.M = len(self.grp), len(self.assets)
        self.marks = second_array(snapshot["marks"])
        self.som: list[int] | None = None
        factor = Fraction(snapshot["policy"]["requirements"][terms["requirement"]])
        asked = terms["requirement"]
        parts = [part for part in snapshot["components"] if asked in part.get("requirements", [asked])]
        for part in parts:
            factor *= Fraction(part["value_bp"] if part["type"] == "factors" else 10**4, 10**4)
        self.factor = -(-factor.numerator // factor.denominator)
        self.other = not self.read_by_groups([part for part in parts if part["type"] != "factors"])
        self.groups = len(snapshot["groups"])
        if self.other:
            self.grp, self.groups, self.group_scenarios = [0] * self.N, 1, [0]
            arrays = [second_array(part["risk"]) for part in parts if "risk" in part]
            self.shared = self.account(snapshot["layout"]["position_bits"])
            self.shared.write(snapshot, asked)
            rows = [x for row in self.shared.rows["positions"] for x in row]
            self.largest = max(1, *(abs(x) for array in (arrays or [rows]) for x in array))
            self.S = len(self.shared.kept)
        claims = [x["claim"] for x in (*terms["classes"], *terms["dense"]) if x["claim"] is not None]
        self.DEN = lcm(*(Fraction(claim).denominator for claim in claims))
        self.cap = None if terms["cap"] is None else int(terms["cap"])
        require(self.cap is None or terms["exempt"] is None, "terms: a cap and exemptions")
        self.segments = max(1, -(-self.N // (self.n - 1)))
        self.classes = [Block(self, spec) for spec in terms["classes"]]
        self.dense = [Dense(self, account) for account in terms["dense"]]
        self.e = self.S + max((block.V for block in self.classes), default=1)
        self.sets: list[tuple[Block, int, int, int, int]] = []
        slot = account = 0
        for block in self.classes:
            for x in range(block.sets):
                used = min(block.T, block.spec["accounts"] - x * block.T)
                self.sets.append((block, x, used, slot, account))
                slot, account = slot + block.T * block.K, account + block.T
        self.dense_offsets = [(slot + y * self.groups, account + y) for y in range(len(self.dense))]
        self.own: list[int] = []  # each dense account's first column of digits
        self.at: list[tuple[int, int]] = []  # where its first packed cell stands
        own, packed, row = 0, sum(dense.packed for dense in self.dense), 0
        for dense in self.dense:
            if row and row + dense.used_cells > self.n:
                packed, row = packed + 1, 0
            self.own.append(own)
            self.at.append((packed, row))
            own, last = own + dense.packed, packed * self.n + row + dense.used_cells
            packed, row = last // self.n, last % self.n
        self.dense_columns = packed + (row > 0)

    def read_by_groups(self, parts: Sequence[Json]) -> bool:
        """Worst scenarios and haircuts, perhaps a short minimum, each once: what every slot has by itself."""
        found = {part["type"]: part for part in parts}
        minimum = found.get("short_option_minimum")
        if len(found) != len(parts) or not {"worst_scenario", "haircuts"} <= set(found):
            return False
        if set(found) - {"worst_scenario", "haircuts", "short_option_minimum"} or found["haircuts"]["tiers"]:
            return False
        if minimum is not None and (minimum["mode"] != "floor" or minimum["strikes"] is not None):
            return False
        worst = found["worst_scenario"]
        flat = second_array(worst["risk"])
        self.S = max(map(len, worst["scenarios"]))
        self.R = [flat[i * self.S : (i + 1) * self.S] for i in range(self.N)]
        self.group_scenarios = list(map(len, worst["scenarios"]))
        self.som = None if minimum is None else second_array(minimum["charge"])
        haircuts = found["haircuts"]
        self.long, self.short = second_array(haircuts["long_value"]), second_array(haircuts["short_value"])
        return True

    def account(self, position_bits: int) -> Account:
        assets = [(slot["bits"], slot["negative_allowed"]) for slot in self.assets]
        return Account(2**self.k, self.N, position_bits, True, assets)

    def gains(self, i: int) -> tuple[int, int, int]:
        """What a lot of instrument i counts in the slot family: net, held long, sold short."""
        if not self.other:
            sold = 0 if self.som is None else -self.rho[self.S] * self.som[i]
            return sum(self.rho[j] * x for j, x in enumerate(self.R[i])), 0, sold
        found = dict.fromkeys(MATRICES, 0)
        for j, form in enumerate(self.shared.kept):
            for (kind, row), c in form.terms.items():
                if kind in MATRICES:
                    found[kind] += self.rho[j] * c * self.shared.rows[kind][row][i]
        return found["positions"], found["long"], found["short"]


def second_array(value: Json) -> list[int]:
    from second_circuit import array

    return array(value)


def powers_from(gamma: int, exponent: int) -> Callable[[int], int]:
    """A slot's power of gamma, by its place behind the one that has this exponent."""
    return lambda s: pow(gamma, exponent + s, r)


def check(
    venue: Venue, setup: Setup, public: list[tuple[str, bytes]], committed: dict[str, Any], proof: bytes
) -> tuple[bytes, bytes]:
    """The statement digest and the proof digest of an accepted proof."""
    n, k, g, e = venue.n, venue.k, venue.g, venue.e

    def groups(count: int) -> list[range]:
        return [range(i, min(i + g, count)) for i in range(0, count, g)]

    opened: list[str] = []
    helpers: list[tuple[str, str, range]] = []
    for x, (block, *_) in enumerate(venue.sets):
        opened += (
            [f"{x} id {l}" for l in range(block.Lambda)] + [f"{x} c"] + [f"{x} f {j}" for j in range(block.columns)]
        )
        helpers += [(f"{x} h {i}", str(x), places) for i, places in enumerate(groups(block.columns))]
        helpers += [(f"{x} v {i}", str(x), places) for i, places in enumerate(groups(block.Lambda))]
    in_sets = len(opened)
    if venue.cap is not None:
        opened.append("cap f 0")
        helpers.append(("cap h 0", "cap", range(1)))
    opened += [f"D f {j}" for j in range(venue.dense_columns)]
    helpers += [(f"D h {i}", "D", places) for i, places in enumerate(groups(venue.dense_columns))]
    tags = [-(-block.sets // block.B) for block in venue.classes]
    mus = [f"mu {m}" for m in range(2**k // n)]
    Q = [f"{name} {s}" for s in range(venue.segments) for name in ("Qp", "Qm", "Qc")]
    pieces = [f"T {i}" for i in range(g)]
    points = len(opened) + sum(tags) + len(mus) + len(Q) + len(helpers) + 1 + g + 2
    require(len(proof) == 44 + 48 * points + 32 * (len(opened) + 1), "another length")
    require(proof[:44] == b"zkmargin" + (1).to_bytes(2, "big") + b"\x01\x02" + setup.digest, "another header")
    read = second.Reader(proof[44:])
    transcript = VenueTranscript()
    for label, data in public:
        transcript.absorb(label, data)
    statement_digest = transcript.state

    # messages 1 to 3
    columns = [read.commitments(name) for name in opened[:in_sets]]
    tag_points = [read.commitments(f"tag {j}") for j in range(sum(tags))]
    leaves, at = [], 0
    for x, (block, local, *_) in enumerate(venue.sets):
        size = block.Lambda + 1 + block.columns
        column = sum(tags[: venue.classes.index(block)]) + local // block.B
        leaves.append(
            keccak256(b"\x10" + x.to_bytes(4, "big") + b"".join(columns[at : at + size]) + tag_points[column])
        )
        at += size
    while len(leaves) > 1:
        pairs = [leaves[i : i + 2] for i in range(0, len(leaves), 2)]
        leaves = [keccak256(b"\x11" + b"".join(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    transcript.absorb("columns", leaves[0] if leaves else bytes(32))
    transcript.absorb("extra", read.commitments(*(name for name in opened[in_sets:] if name.startswith("cap"))))
    transcript.absorb("dense", read.commitments(*(name for name in opened[in_sets:] if name.startswith("D"))))
    transcript.absorb("mu", read.commitments(*mus))
    gamma = transcript.challenge("gamma")
    transcript.absorb("Q", read.commitments(*Q))
    beta = transcript.challenge("beta", lambda x: -x % r < max(2**k, venue.N))
    delta = transcript.challenge("delta")
    eta = transcript.challenge("eta", lambda x: any((beta + i + x * c) % r == 0 for i, c in enumerate(venue.grp)))
    rho = transcript.challenge("rho")
    transcript.absorb("h", read.commitments(*(name for name, _, _ in helpers)))
    transcript.absorb("phi", read.commitments("phi"))
    chi = transcript.challenge("chi")
    transcript.absorb("T", read.commitments(*pieces))
    zeta = transcript.challenge("zeta", lambda x: pow(x, n, r) == 1)
    value = {name: read.scalar(name) for name in opened}
    phi_next = read.scalar("phi")
    transcript.absorb("f(zeta)", b"".join(x.to_bytes(32, "big") for x in value.values()))
    transcript.absorb("phi(omega zeta)", phi_next.to_bytes(32, "big"))
    v = transcript.challenge("v")
    transcript.absorb("W", read.commitments("W"))
    transcript.absorb("W'", read.commitments("W'"))
    proof_digest = transcript.state
    y_ = transcript.challenge("y")

    venue.rho = rho_ = [pow(rho, j, r) for j in range(e + 5 + 2 * venue.M + 2)]
    RL, WL = rho_[-2], rho_[-1]
    omega = pow(7, (r - 1) // n, r)
    Z = (pow(zeta, n, r) - 1) % r
    L = [pow(omega, i, r) * Z * pow(n * (zeta - pow(omega, i, r)), -1, r) % r for i in range(n)]
    w = [pow(beta + i + eta * c, -1, r) for i, c in enumerate(venue.grp)]
    d3 = 0 if venue.terms["net"] is None else pow(delta, 3, r)
    gains = [venue.gains(i) for i in range(venue.N)]
    U: dict[str, int] = defaultdict(int)
    sigma = 0
    for i in range(venue.N):
        s, row = divmod(i, n - 1)
        net, held, sold = gains[i]
        U[f"Qp {s}"] += L[row] * (net + held - WL * w[i])
        U[f"Qm {s}"] += L[row] * (sold - net - WL * delta * w[i])
        U[f"Qc {s}"] += L[row] * (rho_[e] * venue.DEN * 10**4 * venue.marks[i] - WL * delta**2 * w[i])
        sigma += WL * d3 * w[i] * int(venue.terms["net"][i]) if d3 else 0
    for m, name in enumerate(mus):
        U[name] -= RL * sum(x * pow(beta + m * n + i, -1, r) for i, x in enumerate(L))
    weights: dict[int, tuple[int, int]] = {}
    for x, (block, _, used, E, A) in enumerate(venue.sets):
        Gs_zeta = Ga_zeta = 0
        read_cells = set()
        for t in range(used):
            gs = powers_from(gamma, E + t * block.K)
            ga = pow(gamma, A + t, r)
            for s in range(block.K):
                for row_v in range(block.V):
                    b = s * block.V + row_v
                    Gs_zeta += L[t + block.T * b] * gs(s)
                    Ga_zeta += L[t + block.T * b] * ga
                    read_cells |= {(j, t + block.T * b) for j in range(block.packed)}
                    if row_v:
                        step = gs(s) * rho_[venue.S + row_v]
                        U[f"{x} c"] += step * (L[t + block.T * b] - L[t + block.T * s * block.V])
            for name, cells in block.cells.items():
                weight = block.reads(name, gs, ga)
                for d, z in enumerate(cells):
                    column, row = block.packed + z // block.B, t + block.T * (z % block.B)
                    U[f"{x} f {column}"] += weight * 2 ** (k * d) * L[row]
                    read_cells.add((column, row))
            sigma += rho_[e + 1] * ga if block.claim is not None and venue.terms["exempt"] is not None else 0
            sigma += rho_[e] * ga * block.beyond + gs(0) * block.constant()
        for column in range(block.columns):
            for row in range(n):
                if (column, row) not in read_cells:
                    U[f"{x} f {column}"] += rho_[e + 4] * L[row]
        weights[x] = (Gs_zeta % r, Ga_zeta % r if block.claim is not None else 0)
    if venue.cap is not None:
        sigma += rho_[e + 3] * venue.cap
        count = digits_of(venue.cap.bit_length(), k)
        U["cap f 0"] = sum((rho_[e + 3] * 2 ** (k * i) if i < count else rho_[e + 4]) * x for i, x in enumerate(L))
    if venue.terms["exempt"] is not None:
        sigma += rho_[e + 2] * venue.terms["exempt"]
    for j, total in enumerate(venue.terms["totals"] or ()):
        sigma += rho_[e + 5 + j] * int(total)
    for y, dense in enumerate(venue.dense):
        E, A = venue.dense_offsets[y]
        gs = powers_from(gamma, E)
        ga = pow(gamma, A, r)
        for i, c in enumerate(venue.grp):
            s, row = divmod(i, n - 1)
            counted = rho_[e] * ga * venue.DEN * 10**4 * venue.marks[i] if dense.claim is not None else 0
            net, *sides = gains[i]
            U[f"dense {y} positions[{s}]"] += L[row] * (gs(c) * net + counted + WL * d3 * w[i])
            for side, counted_of in enumerate(sides):
                for d in range(dense.D):
                    column = venue.own[y] + (2 * s + side) * dense.D + d
                    U[f"D f {column}"] += L[row] * gs(c) * counted_of * 2 ** (k * d)
        for name, cells in dense.cells.items():
            weight = dense.reads(name, gs, ga)
            for d, z in enumerate(cells):
                column, row = divmod(venue.at[y][1] + z, n)
                U[f"D f {venue.at[y][0] + column}"] += weight * 2 ** (k * d) * L[row]
        for j in range(venue.M):
            s, row = divmod(j, n - 1)
            U[f"dense {y} collateral[{s}]"] += L[row] * rho_[e + 5 + venue.M + j] * ga
        sigma += rho_[e + 1] * ga if dense.claim is not None and venue.terms["exempt"] is not None else 0
        sigma += rho_[e] * ga * dense.beyond + gs(0) * dense.constant()

    # D = T Z_H - (right side), at zeta
    constant = -phi_next - sigma * pow(n, -1, r)
    F: dict[str, int] = defaultdict(int)
    F["phi"] += 1
    for name, u in U.items():
        if name in value:
            constant += u * value[name]
        else:
            F[name] += u
    power = 1
    for name, owner, places in helpers:
        power = power * chi % r
        weighted = " v " in name
        F[name] += WL if weighted else RL
        if weighted:
            block, (gs_, ga_) = venue.sets[int(owner)][0], weights[int(owner)]
            factors = [beta + value[f"{owner} id {l}"] + eta * value[f"{owner} c"] for l in places]
            tops = []
            for l in places:
                p_, m_ = (
                    sum(2 ** (k * d) * value[f"{owner} f {(2 * l + side) * block.D + d}"] for d in range(block.D))
                    for side in (0, 1)
                )
                q_ = p_ - m_
                tops.append(gs_ * (p_ + delta * m_) + delta**2 * ga_ * q_ + d3 * q_)
        else:
            factors = [beta + value[f"{owner} f {j}"] for j in places]
            tops = [1] * len(factors)
        product = 1
        for factor in factors:
            product = product * factor % r
        others = 0
        for i, top in enumerate(tops):
            rest = top
            for j, factor in enumerate(factors):
                rest = rest * factor % r if i != j else rest
            others += rest
        F[name] -= power * product
        constant += power * others
    for y, dense in enumerate(venue.dense):
        for s in range(venue.segments):
            power = power * chi % r
            F[f"dense {y} positions[{s}]"] -= power
            for d in range(dense.D):
                p_, m_ = (value[f"D f {venue.own[y] + (2 * s + side) * dense.D + d}"] for side in (0, 1))
                constant += power * 2 ** (k * d) * (p_ - m_)
        for role, count, slots in (
            ("positions", venue.segments, venue.N),
            ("collateral", dense.balance_segments, venue.M),
        ):
            for s in range(count):
                power = power * chi % r
                used = min(max(slots - s * (n - 1), 0), n - 1)
                F[f"dense {y} {role}[{s}]"] -= power * sum(L[used:])
    for i, name in enumerate(pieces):
        F[name] += pow(zeta, i * n, r) * Z
    for j, (name, x) in enumerate(value.items(), 1):
        F[name] += pow(v, j, r)
        constant -= pow(v, j, r) * x
    F["phi"] += y_
    constant -= y_ * phi_next
    all_points = committed | read.points
    curve = second.curve
    terms = [(x, all_points[name]) for name, x in F.items() if name in all_points] + [(constant, curve.G1)]
    require(set(F) <= set(all_points), "a column that nobody committed")
    left = second.combine([(1, all_points["W"]), (y_, all_points["W'"])])
    right = second.combine([*terms, (zeta, all_points["W"]), (y_ * omega * zeta, all_points["W'"])])
    paired = curve.pairing(setup.tau, left, final_exponentiate=False)
    paired *= curve.pairing(curve.G2, curve.neg(right), final_exponentiate=False)
    require(curve.final_exponentiate(paired) == curve.FQ12.one(), "the pairing check fails")
    return statement_digest, proof_digest


Public = list[tuple[str, bytes]]


def statement_of(
    snapshot: bytes, terms: bytes, commitments: Sequence[bytes], *, context: bytes, setup: Path
) -> tuple[Venue, Setup, Public, dict[str, Any]]:
    """The statement, the setup, message 0, and the points of committed accounts. Raises Rejected."""
    document, stated = json.loads(Snapshot.parse(snapshot).to_bytes()), json.loads(terms)
    venue, loaded = Venue(document, stated), second.load_setup(setup)
    public = [
        ("srs", loaded.digest),
        ("snapshot", keccak256(canonical(without_data(document)))),
        ("terms", canonical(stated)),
        ("accounts", len(commitments).to_bytes(4, "big")),
    ]
    committed: dict[str, Any] = {}
    for y, text in enumerate(commitments):
        commitment = second.read_commitment(text)
        require(keccak256(canonical(commitment)).hex() == stated["dense"][y]["commitment"], "another commitment")
        require(commitment["srs"] == loaded.digest.hex() and commitment["domain_size"] == venue.n, "commitment")
        parts = sorted(commitment["parts"], key=canonical)
        public.append(("parts", len(parts).to_bytes(4, "big")))
        public += [("part", canonical(part)) for part in parts]
        committed |= {f"dense {y} {name}": point for name, point in second.add_parts(parts).items()}
    public.append(("context", context))
    return venue, loaded, public, committed


def verify(
    snapshot: bytes, terms: bytes, commitments: Sequence[bytes], proof: bytes, *, context: bytes = b"", setup: Path
) -> tuple[bytes, bytes]:
    """The statement and proof digests of an accepted proof. Raises Rejected."""
    venue, loaded, public, committed = statement_of(snapshot, terms, commitments, context=context, setup=setup)
    return check(venue, loaded, public, committed, proof)

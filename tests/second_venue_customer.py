"""A second check of a customer's note, in pure Python, written from docs/protocol-venue.md section 7 alone.

Layout, transcript and group are those of the second verifiers; nothing of the product's customers, statement or Merkle
tree is used. The note's signature is not looked at: signatures have tests of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import second_verifier as second
from second_circuit import Json, Rejected, keccak256, r, require
from second_venue_verifier import Block, Venue, VenueTranscript, statement_of

curve = second.curve


class OpeningTranscript(second.Transcript):
    def __init__(self) -> None:
        self.state = bytes(32)
        self.absorb("protocol", b"zkmargin/venue-opening/v1")


def tag(statement_digest: bytes, name: str, nonce: bytes) -> int:
    """Section 7: keccak("zkmargin/venue-tag/v1" || statement digest || |name| in 4 bytes || name || nonce) mod r."""
    require(len(nonce) == 16, "a nonce of another length")
    text = name.encode()
    data = b"zkmargin/venue-tag/v1" + statement_digest + len(text).to_bytes(4, "big") + text + nonce
    return int.from_bytes(keccak256(data), "big") % r


def root_of(index: int, count: int, points: Sequence[bytes], path: Sequence[bytes]) -> bytes:
    """Section 4, message 1: the root that leaf ``index`` of ``count`` gives with its path."""
    digest = keccak256(b"\x10" + index.to_bytes(4, "big") + b"".join(points))
    rest = list(path)
    while count > 1:
        alone = index == count - 1 and index % 2 == 0  # a last node without a partner moves up
        if not alone:
            require(bool(rest), "a path that is too short")
            other = rest.pop(0)
            digest = keccak256(b"\x11" + (other + digest if index % 2 else digest + other))
        index, count = index // 2, -(-count // 2)
    require(not rest, "a path that is too long")
    return digest


def place_of(venue: Venue, account: int) -> tuple[int, Block, int, int]:
    """(set number among all, its class, set number in the class, block) of an account."""
    for x, (block, local, used, *_) in enumerate(venue.sets):
        if account < used:
            return x, block, local, account
        account -= used
    raise Rejected("no such account")


def setup_powers(setup: Path, count: int) -> list[Any]:
    """[tau^i]_1, i < count."""
    data = setup.read_bytes()
    points = []
    for at in range(32, 32 + 96 * count, 96):
        x, y = (int.from_bytes(data[at + 48 * i : at + 48 * (i + 1)], "big") for i in (0, 1))
        points.append((curve.FQ(x), curve.FQ(y), curve.FQ(1)))
    return points


def interpolated(values: Sequence[int], first: int, step: int) -> list[int]:
    """Coefficients of the polynomial through (first step^b, values[b])."""
    count = len(values)
    found = []
    for i in range(count):
        total = sum(value * pow(step, -i * b, r) for b, value in enumerate(values))
        found.append(total * pow(count, -1, r) * pow(first, -i, r) % r)
    return found


def paired(terms: Sequence[tuple[Any, Any]]) -> bool:
    """Whether a product of pairings (G2, G1) is 1."""
    total = curve.FQ12.one()
    for q, p in terms:
        total *= curve.pairing(q, p, final_exponentiate=False)
    return bool(curve.final_exponentiate(total) == curve.FQ12.one())


def check(
    documents: tuple[bytes, bytes, Sequence[bytes]],
    record: Json,
    note: Json,
    *,
    name: str,
    nonce: bytes,
    positions: Mapping[int, int],
    balances: Sequence[int],
    setup: Path,
    tau_power: Any,
    context: bytes = b"",
) -> bool:
    """Whether the account is marked as exempt. Raises Rejected.

    ``documents`` are snapshot, terms and commitments; ``tau_power`` is [tau^B]_2, which is checked against the setup.
    """
    venue, _, public, _ = statement_of(*documents, context=context, setup=setup)
    transcript = VenueTranscript()
    for label, data in public:
        transcript.absorb(label, data)
    digest = transcript.state
    M = sum(block.spec["accounts"] for block in venue.classes)
    for mine in (record, note):
        require(mine["venue"] == venue.terms["venue"], "another venue")
        require(mine["statement"] == digest.hex(), "another statement")
        require(mine["accounts"] == M, "another number of accounts")
    require(note["proof"] == record["proof"], "another proof")
    require((note["name"], note["nonce"]) == (name, nonce.hex()), "another customer")

    x, block, local, t = place_of(venue, note["account"])
    B, T, size = block.B, block.T, block.Lambda + 1 + block.columns + 1
    cells = [[int(cell) for cell in column] for column in note["block"]["cells"]]
    require(len(cells) == size and all(len(column) == B for column in cells), "another shape")
    require(all(cell < r for column in cells for cell in column), "a cell that is no field element")
    points = [bytes.fromhex(point) for point in note["block"]["points"]]
    require(len(points) == size, "another number of points")
    root = root_of(x, len(venue.sets), points, [bytes.fromhex(one) for one in note["block"]["path"]])
    require(root.hex() == record["root"], "another root")

    require(cells[-1][local % B] == tag(digest, name, nonce), "another customer's tag")
    exempt = same_book(venue, block, cells, positions, balances)

    opening = OpeningTranscript()
    opening.absorb("statement", digest)
    opening.absorb("root", root)
    opening.absorb("points", b"".join(points))
    opening.absorb("account", note["account"].to_bytes(8, "big"))
    opening.absorb("cells", b"".join(cell.to_bytes(32, "big") for column in cells for cell in column))
    v = opening.challenge("v")
    omega = pow(7, (r - 1) // venue.n, r)
    decoded = [second.decode_point(point, f"point {c}") for c, point in enumerate(points)]
    W = second.decode_point(bytes.fromhex(note["block"]["opening"]), "opening")
    powers = setup_powers(setup, B + 1)
    require(paired([(tau_power, powers[0]), (curve.neg(curve.G2), powers[B])]), "not [tau^B]_2")
    right = [(pow(v, c, r), point) for c, point in enumerate(decoded)]
    summed = [sum(pow(v, c, r) * column[b] for c, column in enumerate(cells)) % r for b in range(B)]
    I = interpolated(summed, pow(omega, t, r), pow(omega, T, r))
    right += [(-a % r, power) for a, power in zip(I, powers[:B], strict=True)]
    left = curve.add(tau_power, curve.multiply(curve.G2, -pow(omega, t * B, r) % r))
    require(paired([(left, W), (curve.neg(curve.G2), second.combine(right))]), "the opening")
    return exempt


def same_book(
    venue: Venue, block: Block, cells: list[list[int]], positions: Mapping[int, int], balances: Sequence[int]
) -> bool:
    """Section 2, block accounts: positions and balances of the cells are the customer's. Whether it is exempt."""
    k, D, B = venue.k, block.D, block.B
    ids, group, digits = cells[: block.Lambda], cells[block.Lambda], cells[block.Lambda + 1 :]
    found = dict.fromkeys(range(venue.N), 0)
    for b in range(block.K * block.V):
        for l in range(block.Lambda):
            p, m = (sum(digits[(2 * l + side) * D + d][b] * 2 ** (k * d) for d in range(D)) for side in (0, 1))
            if p or m:
                i = ids[l][b]
                require(i < venue.N and venue.grp[i] == group[b], "a leg in no instrument of its group")
                found[i] += p - m
    require({i: q for i, q in found.items() if q} == {i: q for i, q in positions.items() if q}, "other positions")

    def integer(name: str) -> int:
        places = enumerate(block.cells[name])
        return sum(digits[block.packed + z // B][z % B] * 2 ** (k * d) for d, z in places)

    require(len(balances) == venue.M, "another number of balances")
    for j, balance in enumerate(balances):
        if block.account is None:
            held, owed = f"held {j}", f"owed {j}" if f"owed {j}" in block.cells else None
        else:
            at = block.account.owed[j]
            held, owed = f"v {block.account.held[j]}", None if at is None else f"v {at}"
        have = integer(held) - (0 if owed is None else integer(owed))
        require(have == balance, "other balances")
    return "exempt" in block.cells and integer("exempt") == 1

"""The schedule itself: golden challenges, what each of them depends on, and those that are drawn again.

docs/protocol.md section 4; catalogue items 13 to 17.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from Crypto.Hash import keccak
from support import lab
from support.instances import BareStatement
from support.order_forge import LIMITS, silent
from support.typed import Passed

import zkmargin.verifier.argument
import zkmargin.verifier.transcript
from zkmargin.accounts.commitments import CommitmentPart
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import embedded
from zkmargin.crypto.transcript import Transcript
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.formats import keccak256
from zkmargin.verifier import verify
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5
from zkmargin.verifier.transcript import MarginTranscript

GOLDEN = Path(__file__).with_name("data") / "transcript-challenges.json"


# --- the schedule itself ------------------------------------------------------------------------------------


def fixed_statement(**changes: Passed) -> BareStatement:
    """A statement of fixed bytes: what is absorbed, not what it means."""
    parts = tuple(
        CommitmentPart.model_validate(
            {"role": role, "alias": f"{role} account", "slot_map": slots * 32, "points": (point * 48,), "bits": 48}
        )
        for role, slots, point in (("collateral", "0a", "a1"), ("positions", "0b", "b2"))
    )
    fields = {
        "srs": embedded(),
        "snapshot_digest": bytes(range(32)),
        "circuit": SimpleNamespace(n=1024, digest=bytes(range(32, 64))),
        "claim": Claim(5, 4, "maintenance"),
        "parts": parts,
        "limits": LIMITS,
        "context": b"reader 7",
    }
    return BareStatement(**{**fields, **changes})


def fixed_messages() -> Passed:
    def point(i: int) -> bytes:
        return bytes([0x80 + i]) * 48

    def scalar(i: int) -> int:
        return 10**70 + i

    return {
        "message1": Message1((point(1), point(2), point(3), point(4)), point(5), (point(6), point(7), point(8))),
        "message2": Message2((point(9), point(10)), point(11)),
        "message3": Message3((point(12), point(13), point(14))),
        "message4": Message4((scalar(1), scalar(2), scalar(3), scalar(4)), scalar(5), (scalar(6),)),
        "message5": Message5(point(15), point(16)),
    }


def run(
    statement: BareStatement, messages: Passed, schedule: type[MarginTranscript] = MarginTranscript
) -> dict[str, str]:
    """The statement digest and all challenges, by name."""
    transcript = schedule(statement)
    beta, rho = transcript.round1(messages["message1"])
    result = {"statement": transcript.statement_digest.hex(), "beta": beta, "rho": rho}
    for name, i in (("chi", 2), ("zeta", 3), ("v", 4), ("y", 5)):
        result[name] = getattr(transcript, f"round{i}")(messages[f"message{i}"])
    return {name: value if isinstance(value, str) else f"{value:064x}" for name, value in result.items()}


def test_the_challenges_are_the_golden_ones() -> None:
    challenges = run(fixed_statement(), fixed_messages())
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN") == "1":
        GOLDEN.write_text(
            json.dumps({"format": "zkmargin/transcript-vector/v1", **challenges}, indent=1) + "\n", "utf-8"
        )
    assert {"format": "zkmargin/transcript-vector/v1", **challenges} == json.loads(GOLDEN.read_text("utf-8"))


def test_the_golden_challenges_follow_from_the_text_of_the_protocol() -> None:
    # written from docs/protocol.md section 4 and nothing else of this project but the statement's own bytes
    def H(data: bytes) -> bytes:
        return keccak.new(digest_bits=256, data=data).digest()

    def framed(label: str) -> bytes:
        return len(label).to_bytes(4, "big") + label.encode()

    state = bytes(32)

    def append(label: str, data: bytes) -> None:
        nonlocal state
        state = H(state + b"\x01" + framed(label) + len(data).to_bytes(8, "big") + data)

    def challenge(label: str) -> str:
        nonlocal state
        wide = b"".join(H(state + b"\x02" + framed(label) + bytes(4) + bytes([i])) for i in (0, 1))
        state = H(state + b"\x03" + framed(label) + bytes(4))
        return f"{int.from_bytes(wide, 'big') % r:064x}"

    statement, m = fixed_statement(), fixed_messages()
    golden = json.loads(GOLDEN.read_text("utf-8"))
    append("protocol", b"zkmargin/margin-argument/v1")
    append("srs", statement.srs.digest)
    append("snapshot", bytes(range(32)))
    append("circuit", bytes(range(32, 64)))
    append("claim", b"5/4 maintenance")
    append("limits", (2).to_bytes(4, "big"))
    append("limit", b"headroom >= 100000")
    append("limit", b"net-exposure BTC <= 241/2")
    append("parts", (2).to_bytes(4, "big"))
    for role, slots, point in (("collateral", "0a", "a1"), ("positions", "0b", "b2")):
        text = json.dumps(
            {"alias": f"{role} account", "bits": 48, "points": [point * 48], "role": role, "slot_map": slots * 32},
            separators=(",", ":"),
            sort_keys=True,
        )
        append("part", text.encode())
    append("context", b"reader 7")
    assert state.hex() == golden["statement"]
    one, two, three, four, five = m.values()
    append("f", b"".join(one.f))
    append("mu", one.mu)
    append("gates", b"".join(one.gates))
    assert (challenge("beta"), challenge("rho")) == (golden["beta"], golden["rho"])
    append("h", b"".join(two.h))
    append("phi", two.phi)
    assert challenge("chi") == golden["chi"]
    append("T", b"".join(three.T))
    assert challenge("zeta") == golden["zeta"]
    append("f(zeta)", b"".join(x.to_bytes(32, "big") for x in four.f))
    append("phi(omega zeta)", four.phi_shifted.to_bytes(32, "big"))
    append("A(zeta)", four.A[0].to_bytes(32, "big"))
    assert challenge("v") == golden["v"]
    append("W", five.W)
    append("W'", five.W_shifted)
    assert challenge("y") == golden["y"]


ORDER = ["statement", "beta", "rho", "chi", "zeta", "v", "y"]
ABSORBED = {
    **dict.fromkeys(
        ["protocol", "srs", "snapshot", "circuit", "claim", "limits", "limit", "parts", "part", "context"], "statement"
    ),
    **dict.fromkeys(["f", "mu", "gates"], "beta"),
    **dict.fromkeys(["h", "phi"], "chi"),
    "T": "zeta",
    **dict.fromkeys(["f(zeta)", "phi(omega zeta)", "A(zeta)"], "v"),
    **dict.fromkeys(["W", "W'"], "y"),
}


def assert_changes_from(first: str, challenges: dict[str, str]) -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    for name in ORDER:
        assert (challenges[name] != golden[name]) == (ORDER.index(name) >= ORDER.index(first)), name


@pytest.mark.parametrize("label", ABSORBED)
def test_each_absorb_left_out_changes_every_challenge_that_follows(label: str) -> None:
    assert_changes_from(ABSORBED[label], run(fixed_statement(), fixed_messages(), silent(label)))


def test_these_are_all_the_absorbs() -> None:
    seen = []

    class Recorder(Transcript):
        def append(self, label: str, data: bytes) -> None:
            seen.append(label)
            super().append(label, data)

    with patch.object(zkmargin.verifier.transcript, "Transcript", Recorder):
        run(fixed_statement(), fixed_messages())
    assert set(seen) == set(ABSORBED)
    assert sorted(set(seen), key=seen.index) == list(ABSORBED)


def variations() -> Iterator[Passed]:
    """Every element of every message, and every public field, with one bit changed; what must change with it."""

    def flip(x: bytes | int) -> bytes | int:
        return x ^ 1 if isinstance(x, int) else bytes([*x[:-1], x[-1] ^ 1])

    statement, messages = fixed_statement(), fixed_messages()
    for field in ("snapshot_digest", "context"):
        yield "statement", fixed_statement(**{field: flip(getattr(statement, field))}), messages
    yield "statement", fixed_statement(circuit=SimpleNamespace(n=1024, digest=flip(statement.circuit.digest))), messages
    for claim in (Claim(5, 3, "maintenance"), Claim(7, 4, "maintenance"), Claim(5, 4, "initial")):
        yield "statement", fixed_statement(claim=claim), messages
    for limits in (LIMITS[:1], LIMITS[::-1], (*LIMITS, LIMITS[0]), (Limit.parse("headroom >= 100001"), LIMITS[1])):
        yield "statement", fixed_statement(limits=limits), messages
    for i, part in enumerate(statement.parts):
        for update in (
            {"alias": "x"},
            {"bits": 47},
            {"slot_map": "ff" * 32},
            {"points": ("c3" * 48,)},
            {"points": part.points * 2},
            {"role": "positions" if part.role == "collateral" else "collateral"},
        ):
            parts = [*statement.parts]
            parts[i] = part.model_copy(update=update)
            yield "statement", fixed_statement(parts=tuple(parts)), messages
    yield "statement", fixed_statement(parts=statement.parts[:1]), messages
    yield "statement", fixed_statement(parts=statement.parts[::-1]), messages
    for name, first in zip(messages, ("beta", "chi", "zeta", "v", "y"), strict=True):
        message = messages[name]
        for field, value in message.__dict__.items():
            items = value if isinstance(value, tuple) else (value,)
            for i, item in enumerate(items):
                changed = (*items[:i], flip(item), *items[i + 1 :])
                changed = changed if isinstance(value, tuple) else changed[0]
                yield first, statement, {**messages, name: replace(message, **{field: changed})}
            if isinstance(value, tuple):
                yield first, statement, {**messages, name: replace(message, **{field: value[:-1]})}


def test_one_bit_of_anything_changes_every_challenge_that_follows_and_none_before() -> None:
    count = 0
    for first, statement, messages in variations():
        assert_changes_from(first, run(statement, messages))
        count += 1
    assert count > 40


def test_where_one_element_ends_and_the_next_begins_matters() -> None:
    messages = fixed_messages()
    one, two = messages["message1"], messages["message2"]
    moved = {
        **messages,
        "message1": replace(one, f=one.f[:-1], mu=one.f[-1] + one.mu),
    }
    assert_changes_from("beta", run(fixed_statement(), moved))
    moved = {**messages, "message2": replace(two, h=two.h[:-1], phi=two.h[-1] + two.phi)}
    assert_changes_from("chi", run(fixed_statement(), moved))
    # what is absent is not what is empty elsewhere
    bare = {**messages, "message1": replace(one, gates=()), "message4": replace(messages["message4"], A=())}
    assert_changes_from("beta", run(fixed_statement(), bare))


def test_circuits_that_differ_in_size_alone_differ_in_their_statement() -> None:
    a = Circuit.freeze(lab.margin_like(n=16), 2)
    b = Circuit.freeze(lab.margin_like(n=32), 2)
    digests = [run(fixed_statement(circuit=c), fixed_messages())["statement"] for c in (a, b)]
    assert digests[0] != digests[1]


# --- challenges that are not admissible ---------------------------------------------------------------------


def forced(monkeypatch: pytest.MonkeyPatch, label: str, value: int) -> None:
    """A hash that gives one challenge a bad value at counter 0."""

    def stub(data: bytes) -> bytes:
        framed = len(label).to_bytes(4, "big") + label.encode()
        if data[32:33] == b"\x02" and data[33:].startswith(framed + bytes(4)):
            return bytes(32) if data[-1] == 0 else value.to_bytes(32, "big")
        return keccak256(data)

    monkeypatch.setattr("zkmargin.crypto.transcript.keccak256", stub)


@pytest.mark.parametrize("label", ["beta", "rho", "chi", "zeta", "v", "y"])
def test_a_challenge_of_zero_is_drawn_again(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    forced(monkeypatch, label, 0)
    challenges = run(fixed_statement(), fixed_messages())
    assert all(int(value, 16) for name, value in challenges.items() if name != "statement")


def test_a_beta_with_a_pole_and_a_zeta_in_the_domain_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given = lab.standard()
    omega, n = given.circuit.domain.omega, given.circuit.n
    for label, bad in [("beta", -i % r) for i in (0, 1, n - 1)] + [("zeta", pow(omega, i, r)) for i in (0, 1, 7)]:
        with monkeypatch.context() as patched:
            forced(patched, label, bad)
            proof = lab.cheat(given)
            assert getattr(lab.challenges(given.statement, proof), label) != bad
            verify(given.statement.as_statement(), lab.encode(given, proof))
    with monkeypatch.context() as patched:
        forced(patched, "beta", -n % r)
        assert lab.challenges(given.statement, lab.cheat(given)).beta == -n % r

"""The transcript: its bytes written out once more, its framing, and the schedule of the margin argument."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from Crypto.Hash import keccak
from support.typed import Unchecked

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.transcript import MAX_REJECTIONS, Transcript
from zkmargin.formats import keccak256
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5
from zkmargin.verifier.transcript import PROTOCOL, MarginTranscript

# The transcript's bytes, written out once more


def H(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def append(state: bytes, label: bytes, data: bytes) -> bytes:
    return H(state + b"\x01" + len(label).to_bytes(4, "big") + label + len(data).to_bytes(8, "big") + data)


def challenge(state: bytes, label: bytes, counter: int = 0) -> tuple[int, bytes]:
    framed = len(label).to_bytes(4, "big") + label + counter.to_bytes(4, "big")
    halves = H(state + b"\x02" + framed + b"\x00") + H(state + b"\x02" + framed + b"\x01")
    return int.from_bytes(halves, "big") % r, H(state + b"\x03" + framed)


def test_transcript_bytes_by_hand() -> None:
    transcript = Transcript("ab")
    # 32 zero bytes, 01, |"protocol"| in 4, "protocol", |"ab"| in 8, "ab"
    state = H(bytes.fromhex("00" * 32 + "01" + "00000008" + b"protocol".hex() + "0000000000000002" + b"ab".hex()))
    assert transcript.state == state
    transcript.append("x", b"\x00\xff")
    state = H(state + bytes.fromhex("01" + "00000001" + "78" + "0000000000000002" + "00ff"))
    assert transcript.state == state
    expected, state = challenge(state, b"y")
    assert transcript.challenge("y") == expected
    assert transcript.state == state


def test_item_14_golden_challenges() -> None:
    """Fixed for version 1 of the protocol: these numbers never change."""
    transcript = Transcript(PROTOCOL)
    assert transcript.state.hex() == "a0a7c7aecf6922b6b9f45f1ab04e730640c7b1e002a3c48dd588c9004f705afc"
    transcript.append("srs", bytes(range(32)))
    transcript.append("context", b"")
    assert transcript.state.hex() == "e8057396174a4cf6385f7df299f8589127b72266e9ae86a9eacd4c888b9b2e3f"
    assert f"{transcript.challenge('beta'):064x}" == "625ac4ba9ba67ce5bf6f857bd215a35d44ced242c106e67ca2e2f2fe17b1b22f"
    assert f"{transcript.challenge('rho'):064x}" == "1c1a8663510cbc10f4d271161f3ddf716fe28b4fe91c21d2de1271b700e624a6"
    assert transcript.state.hex() == "bd66919a85075487f13b0a0d6b1ca8b8b80e4d4e9a6242eddfab136288c381f4"


def state_after(*messages: tuple[str, bytes]) -> bytes:
    transcript = Transcript("test")
    for label, data in messages:
        transcript.append(label, data)
    return transcript.state


def test_item_16_framing_is_unambiguous() -> None:
    states = [
        state_after(("ab", b"c")),
        state_after(("a", b"bc")),
        state_after(("", b"abc")),
        state_after(("abc", b"")),
        state_after(("a", b""), ("b", b"c")),
        state_after(("a", b"b"), ("", b"c")),
        state_after(("ab", b"c"), ("", b"")),
        state_after(("ab", b"c\x00")),
        state_after(),
    ]
    assert len(set(states)) == len(states)


def test_item_16_an_append_is_no_challenge_and_order_counts() -> None:
    assert state_after(("a", b"1"), ("b", b"2")) != state_after(("b", b"2"), ("a", b"1"))
    appended, asked = Transcript("test"), Transcript("test")
    appended.append("x", b"")
    asked.challenge("x")
    assert appended.state != asked.state
    assert Transcript("test").challenge("x") != Transcript("test").challenge("y")


def test_labels_are_ascii() -> None:
    with pytest.raises(UnicodeEncodeError):
        Transcript("test").append("é", b"")


def test_item_17_an_excluded_challenge_takes_the_next_counter() -> None:
    start = Transcript("test").state
    tries = [challenge(start, b"zeta", counter) for counter in range(3)]
    transcript = Transcript("test")
    refused = {tries[0][0], tries[1][0]}
    assert transcript.challenge("zeta", refused.__contains__) == tries[2][0]
    assert transcript.state == tries[2][1]


def test_item_17_zero_is_never_a_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    zero_then_real = iter([bytes(32), bytes(32)])
    transcript = Transcript("test")
    expected, state = challenge(transcript.state, b"chi", 1)
    monkeypatch.setattr(
        "zkmargin.crypto.transcript.keccak256", lambda data: next(zero_then_real, None) or keccak256(data)
    )
    assert transcript.challenge("chi") == expected
    assert transcript.state == state


def test_item_17_r_is_zero_and_a_hash_that_never_helps_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def stub(data: bytes) -> bytes:
        calls.append(data)
        return r.to_bytes(64, "big")[32 * (data[-1] & 1) :][:32]

    transcript = Transcript("test")
    monkeypatch.setattr("zkmargin.crypto.transcript.keccak256", stub)
    with pytest.raises(RuntimeError, match="no admissible challenge chi in 128 tries"):
        transcript.challenge("chi")
    assert len(calls) == 2 * MAX_REJECTIONS


# The schedule of the margin argument

PUBLIC = [("srs", b"s" * 32), ("parts", bytes(4)), ("context", b"")]
ONE, TWO = b"\x81" + bytes(47), b"\x82" + bytes(47)
MESSAGES = (
    Message1((ONE, TWO), ONE, (TWO, ONE, TWO)),
    Message2((TWO,), ONE),
    Message3((ONE, TWO)),
    Message4((1, 2), 3, (4,)),
    Message5(TWO, ONE),
)
NO_GATES = (
    Message1((ONE,), TWO, ()),
    Message2((TWO,), ONE),
    Message3((ONE,)),
    Message4((1,), 3, ()),
    Message5(ONE, TWO),
)


def schedule(messages: tuple[Message1, Message2, Message3, Message4, Message5]) -> tuple[list[int], bytes]:
    """beta, rho, chi, zeta, v, y and the statement digest, by hand."""
    m1, m2, m3, m4, m5 = messages
    state = append(bytes(32), b"protocol", b"zkmargin/margin-argument/v1")
    for label, data in PUBLIC:
        state = append(state, label.encode(), data)
    digest = state
    state = append(state, b"f", b"".join(m1.f))
    state = append(state, b"mu", m1.mu)
    state = append(state, b"gates", b"".join(m1.gates))
    beta, state = challenge(state, b"beta")
    rho, state = challenge(state, b"rho")
    state = append(append(state, b"h", b"".join(m2.h)), b"phi", m2.phi)
    chi, state = challenge(state, b"chi")
    zeta, state = challenge(append(state, b"T", b"".join(m3.T)), b"zeta")
    state = append(state, b"f(zeta)", b"".join(x.to_bytes(32, "big") for x in m4.f))
    state = append(state, b"phi(omega zeta)", m4.phi_shifted.to_bytes(32, "big"))
    state = append(state, b"A(zeta)", b"".join(x.to_bytes(32, "big") for x in m4.A))
    v, state = challenge(state, b"v")
    y, _ = challenge(append(append(state, b"W", m5.W), b"W'", m5.W_shifted), b"y")
    return [beta, rho, chi, zeta, v, y], digest


def margin_transcript() -> MarginTranscript:
    statement: Unchecked = SimpleNamespace(circuit=SimpleNamespace(n=16), public_messages=lambda: iter(PUBLIC))
    return MarginTranscript(statement)


@pytest.mark.parametrize("messages", [MESSAGES, NO_GATES], ids=["gates", "no gates"])
def test_the_schedule_is_the_text_of_section_4(
    messages: tuple[Message1, Message2, Message3, Message4, Message5],
) -> None:
    transcript = margin_transcript()
    m1, m2, m3, m4, m5 = messages
    expected, digest = schedule(messages)
    assert transcript.statement_digest == digest
    got = [*transcript.round1(m1), transcript.round2(m2), transcript.round3(m3)]
    assert [*got, transcript.round4(m4), transcript.round5(m5)] == expected


@pytest.mark.parametrize(
    ("round_name", "message", "refused", "admitted"),
    [
        ("round1", MESSAGES[0], [r - 1, r - 15], [r - 16, 1, 15]),
        ("round3", MESSAGES[2], [1, r - 1, Domain.of(16).omega], [2, Domain.of(32).omega]),
    ],
)
def test_item_17_beta_and_zeta_avoid_poles(
    monkeypatch: pytest.MonkeyPatch, round_name: str, message: object, refused: list[int], admitted: list[int]
) -> None:
    """beta + i = 0 for a table value i, and zeta in H, are refused; their neighbours are not."""
    predicates: dict[str, Callable[[int], bool]] = {}

    def spy(_: Transcript, label: str, excluded: Callable[[int], bool] = lambda _: False) -> int:
        predicates[label] = excluded
        return 1

    transcript = margin_transcript()
    monkeypatch.setattr(Transcript, "challenge", spy)
    getattr(transcript, round_name)(message)
    predicate = predicates["beta" if round_name == "round1" else "zeta"]
    assert [x for x in refused if not predicate(x)] == []
    assert [x for x in admitted if predicate(x)] == []

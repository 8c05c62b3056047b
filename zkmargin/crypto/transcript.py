"""The byte layer of the Fiat-Shamir transcript: labelled, length-framed messages in, challenges out.

The state is 32 bytes. With ``u32`` and ``u64`` big-endian and ``H`` = keccak-256:

    append(label, data):   state <- H(state || 0x01 || u32 |label| || label || u64 |data| || data)
    challenge(label):      for counter = 0, 1, ...:
                               t_i = H(state || 0x02 || u32 |label| || label || u32 counter || i),  i = 0, 1
                               x = int(t_0 || t_1) mod r        (512 bits: bias below 2^-256)
                               the first x that is not excluded is the challenge
                           state <- H(state || 0x03 || u32 |label| || label || u32 counter)

Which messages are appended in which order is the protocol layer's business (verifier/transcript.py).
"""

from __future__ import annotations

from collections.abc import Callable

from zkmargin.crypto.field import r
from zkmargin.formats.canonical import keccak256

_APPEND, _CHALLENGE, _RATCHET = b"\x01", b"\x02", b"\x03"
MAX_REJECTIONS = 128


def _framed_label(label: str) -> bytes:
    data = label.encode("ascii")
    return len(data).to_bytes(4, "big") + data


class Transcript:
    """A transcript that starts from a protocol name.

    ``state`` after absorbing a statement identifies that statement (the replay guard's key).
    """

    def __init__(self, protocol: str) -> None:
        self.state = bytes(32)
        self.append("protocol", protocol.encode("ascii"))

    def append(self, label: str, data: bytes) -> None:
        """Absorb one message."""
        self.state = keccak256(self.state + _APPEND + _framed_label(label) + len(data).to_bytes(8, "big") + data)

    def challenge(self, label: str, excluded: Callable[[int], bool] = lambda _: False) -> int:
        """A field element; 0 and whatever ``excluded`` names are re-derived with the next counter.

        Raises:
            RuntimeError: every one of 128 tries was excluded (cannot happen with a hash function).
        """
        framed = _framed_label(label)
        for counter in range(MAX_REJECTIONS):
            count = counter.to_bytes(4, "big")
            t = b"".join(keccak256(self.state + _CHALLENGE + framed + count + bytes([i])) for i in (0, 1))
            x = int.from_bytes(t, "big") % r
            if x != 0 and not excluded(x):
                self.state = keccak256(self.state + _RATCHET + framed + count)
                return x
        raise RuntimeError(f"no admissible challenge {label} in {MAX_REJECTIONS} tries")

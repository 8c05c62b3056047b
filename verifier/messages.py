"""What prover messages are made of: each element is listed once, and everything about its bytes follows.

A message is a dataclass whose fields say, in their metadata, which element of the protocol they hold: its name in the
transcript, the names of its values, points or scalars, and how many there are in the proof of a circuit. Sizes,
decoding, absorption and names derive from that listing (``verifier/proof.py`` has the one of the margin argument), so
no two of them can disagree.

    @dataclass(frozen=True)
    class Example(Message):
        f: tuple[bytes, ...] = field(metadata=element("f", POINT, "f[{}]", lambda shape: shape.digits))
        mu: bytes = field(metadata=element("mu", POINT))

The order of the fields is the order of the bytes, and a proof is a dataclass of messages (``Messages``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from itertools import chain
from typing import Any, Self, get_type_hints

from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar
from zkmargin.crypto.group import G1_BYTES
from zkmargin.crypto.transcript import Transcript
from zkmargin.formats.errors import ProofFormatError

Point = bytes


@dataclass(frozen=True)
class Kind:
    """Points are kept as their encodings, scalars as ints; ``decode`` raises ValueError."""

    size: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


#: A compressed point of G1. It is checked later, when it is decoded for use.
POINT = Kind(G1_BYTES, bytes, bytes)
#: A canonical scalar.
SCALAR = Kind(SCALAR_BYTES, encode_scalar, decode_scalar)


@dataclass(frozen=True)
class Element:
    """One element of a message.

    Attributes:
        label: its name in the transcript, which absorbs all its values at once.
        kind: what each value is.
        names: the names of its values: a template that is given their places, or one name each.
        count: how many values there are, from the shape of a circuit; None for exactly one, which is no tuple.
    """

    label: str
    kind: Kind
    names: str | tuple[str, ...]
    count: Callable[[Any], int] | None  # Any: each argument has a shape of its own

    def count_in(self, shape: object) -> int:
        """How many values a proof of this shape has."""
        return 1 if self.count is None else self.count(shape)

    def name(self, place: int) -> str:
        """The name of the value at a place."""
        return self.names.format(place) if isinstance(self.names, str) else self.names[place]


def element(
    label: str,
    kind: Kind,
    names: str | tuple[str, ...] | None = None,
    count: Callable[[Any], int] | None = None,
) -> dict[str, Element]:
    """The metadata of a field that holds an element."""
    return {"element": Element(label, kind, names or label, count)}


@dataclass(frozen=True)
class Message:
    """A message of the prover: a subclass lists its elements as fields."""

    @classmethod
    def size(cls, shape: object) -> int:
        """The bytes of this message in every proof of this shape."""
        return sum(e.kind.size * e.count_in(shape) for _, e in _listing(cls))

    @classmethod
    def read(cls, body: BytesIO, shape: object) -> Self:
        """The message that starts here: ``size(shape)`` bytes. Raises ProofFormatError naming the first bad value."""
        values = {}
        for attribute, e in _listing(cls):
            found = []
            for place in range(e.count_in(shape)):
                try:
                    found.append(e.kind.decode(body.read(e.kind.size)))
                except ValueError as error:
                    raise ProofFormatError(f"{e.name(place)}: {error}") from None
            values[attribute] = found[0] if e.count is None else tuple(found)
        return cls(**values)

    def encode(self) -> bytes:
        """The bytes of all values in order."""
        return b"".join(data for _, data in self._encoded())

    def absorb(self, transcript: Transcript) -> None:
        """One absorption for each element, also for one without values."""
        for label, data in self._encoded():
            transcript.append(label, data)

    def named(self, kind: Kind) -> Iterator[tuple[str, Any]]:
        """The values of a kind with their names, in the order of the bytes."""
        for e, values in self._elements():
            if e.kind is kind:
                yield from ((e.name(place), value) for place, value in enumerate(values))

    def _elements(self) -> Iterator[tuple[Element, tuple[Any, ...]]]:
        for attribute, e in _listing(type(self)):
            value = getattr(self, attribute)
            yield e, (value,) if e.count is None else value

    def _encoded(self) -> Iterator[tuple[str, bytes]]:
        for e, values in self._elements():
            yield e.label, b"".join(map(e.kind.encode, values))


@dataclass(frozen=True)
class Messages:
    """A proof: a subclass lists its messages as fields, in the order of the bytes."""

    @classmethod
    def size(cls, shape: object) -> int:
        """The bytes of every proof of this shape, without its header."""
        return sum(message.size(shape) for message in _kinds(cls).values())

    @classmethod
    def decode(cls, data: bytes, shape: object) -> Self:
        """Cut bytes into messages; points are checked later, when they are decoded for use.

        Raises:
            ProofFormatError: another length than every proof of this shape has, or a scalar >= r.
        """
        if len(data) != cls.size(shape):
            raise ProofFormatError(
                f"{len(data)} bytes where a proof of this statement has {cls.size(shape)}, its header aside"
            )
        body = BytesIO(data)
        return cls(**{name: message.read(body, shape) for name, message in _kinds(cls).items()})

    def messages(self) -> tuple[Message, ...]:
        """The messages in the order of the bytes."""
        return tuple(getattr(self, name) for name in _kinds(type(self)))

    def encode(self) -> bytes:
        """The bytes of all messages in order."""
        return b"".join(message.encode() for message in self.messages())

    def points(self) -> Iterator[tuple[str, Point]]:
        """Every point with its name, in the order of the bytes."""
        return chain.from_iterable(message.named(POINT) for message in self.messages())

    def named_scalars(self) -> Iterator[tuple[str, int]]:
        """Every scalar with its name, in the order of the bytes."""
        return chain.from_iterable(message.named(SCALAR) for message in self.messages())

    def scalars(self) -> tuple[int, ...]:
        """Every scalar, in the order of the bytes."""
        return tuple(value for _, value in self.named_scalars())


_KINDS: dict[type[Messages], dict[str, type[Message]]] = {}


def _kinds(proof: type[Messages]) -> dict[str, type[Message]]:
    if proof not in _KINDS:
        hints = get_type_hints(proof)
        _KINDS[proof] = {field.name: hints[field.name] for field in fields(proof)}
    return _KINDS[proof]


def _listing(message: type[Message]) -> tuple[tuple[str, Element], ...]:
    return tuple((field.name, field.metadata["element"]) for field in fields(message))

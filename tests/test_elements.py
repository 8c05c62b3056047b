"""What a header says, what cannot be changed in the lists of messages, what a statement says of its rows."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import golden
import pytest

from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.header import HEADER_BYTES, ProofKind, header, is_of, read_header
from zkmargin.verifier.messages import POINT, Element


def test_the_numbers_of_protocols_are_those_of_the_documents() -> None:
    """docs/formats.md "Proof": other programs read them."""
    assert {kind.name: int(kind) for kind in ProofKind} == {"MARGIN": 1, "VENUE": 2, "CHAIN": 16, "CHAIN_JOINT": 17}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ProofKind.VENUE, "a proof about a venue's accounts"),
        (ProofKind.CHAIN, "a chain proof"),
        (ProofKind.CHAIN_JOINT, "a joint chain proof"),
    ],
)
def test_a_proof_of_another_protocol_is_called_what_it_is(kind: ProofKind, name: str) -> None:
    data = header(bytes(32), kind)
    assert is_of(kind, data)
    with pytest.raises(ProofFormatError, match=f"^{name}: expected a margin proof$"):
        read_header(data)
    # the beginning of a header is none
    assert not is_of(kind, data[: HEADER_BYTES - 1])
    assert not is_of(kind, header(b"", kind))


def test_elements_and_kinds_cannot_be_changed() -> None:
    for value, name in ((POINT, "size"), (Element("f", POINT, "f{}", None), "label")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 1)


def test_a_statement_is_of_one_account_over_the_snapshot_s_rows() -> None:
    statement = golden.statement_of("default-policy")[0]
    assert statement.n == statement.snapshot.layout.domain_size
    assert statement.account_parts == (statement.parts,)

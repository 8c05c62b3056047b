"""Calls that are not what they seem, and chains that are not: items 50, 51 and 53 of docs/catalogue.md."""

from __future__ import annotations

import pytest
from support.chain_lab import prove, standard

from contracts.tests.cases import NONCE, Deployed, item
from contracts.tests.evm import Anvil, Reverted
from zkmargin.chain.abi import encode_constructor, error_name
from zkmargin.chain.calls import verifier_arguments, verify_call


def refused(evm: Anvil, address: str, data: bytes, *, gas: int = 16_000_000) -> str:
    with pytest.raises(Reverted) as reverted:
        evm.call(address, data, gas=gas)
    return error_name(reverted.value.data)


def test_item_50_a_chain_without_the_precompiles_accepts_nothing() -> None:
    cancun = Anvil("cancun")
    try:
        case = standard(1)
        deployed = Deployed.of(cancun, case)
        case = deployed.bound(case)
        sent = item(case.statement, prove(case))
        assert refused(cancun, deployed.address, verify_call(case.statement.table, NONCE, sent)) == "NoPrecompile()"
    finally:
        cancun.close()


def test_item_51_one_call_has_one_encoding(anvil: Anvil) -> None:
    case = standard(1)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    sent = item(case.statement, prove(case))
    data = verify_call(case.statement.table, NONCE, sent)
    assert anvil.call(deployed.address, data)
    assert refused(anvil, deployed.address, data + bytes(32)) == "BadCalldata()"
    assert refused(anvil, deployed.address, data + b"\1") == "BadCalldata()"
    # the same arguments a word further on
    words = [int.from_bytes(data[4 + 32 * i : 36 + 32 * i], "big") for i in range(6)]
    assert words[3] == 0xC0
    moved = b"".join(x.to_bytes(32, "big") for x in (*words[:3], 0xE0, words[4], words[5] + 32))
    assert refused(anvil, deployed.address, data[:4] + moved + bytes(32) + data[196:]) == "BadCalldata()"
    # the proof where the table is
    overlapping = b"".join(x.to_bytes(32, "big") for x in (*words[:5], words[3]))
    assert refused(anvil, deployed.address, data[:4] + overlapping + data[196:]) == "BadCalldata()"
    for cut in (0, 3, 4, 36, 196, 300, len(data) - 1):
        with pytest.raises(Reverted):
            anvil.call(deployed.address, data[:cut])
    with pytest.raises(Reverted):
        anvil.call(deployed.address, b"\1\2\3\4" + data[4:])


def test_item_51_too_little_gas_is_never_an_acceptance(anvil: Anvil) -> None:
    case = standard(1)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    data = verify_call(case.statement.table, NONCE, item(case.statement, prove(case)))
    needed = anvil.send(deployed.address, data).gas
    for gas in (*range(needed // 2, needed, needed // 24), needed - 1):
        try:
            answer = anvil.call(deployed.address, data, gas=gas)
        except Reverted:
            continue
        pytest.fail(f"accepted with {gas} of {needed} gas: {answer.hex()}")


def test_item_53_another_pinned_point_is_another_layout(anvil: Anvil) -> None:
    case = standard(1)
    table = case.statement.table
    *sizes, _ = verifier_arguments(table)
    other = bytes.fromhex(table.price)
    receipt = anvil.send(None, encode_constructor("MarginVerifier", [*sizes, other]))
    assert receipt.address is not None
    deployed = Deployed(anvil, receipt.address)
    case = deployed.bound(case)
    sent = item(case.statement, prove(case))
    assert deployed.verdict(case.statement, sent) in {"BadInverse()", "ProofRejected()"}
    for arguments in (
        (0, *sizes[1:], other),
        (1024, *sizes[1:], other),
        (sizes[0], 0, 0, 0, other),
        (sizes[0], 65, 0, 0, other),
        (*sizes[:3], 16, other),
        (*sizes, bytes(96)),
        (*sizes, other[:95]),
    ):
        assert not anvil.send(None, encode_constructor("MarginVerifier", list(arguments))).succeeded

"""Registries and the margin checker: an account from its first attestation to coverage, and every refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account
from support.chain_lab import ChainCase, chain_case, chain_snapshot, joint_case, prove_joint

from contracts.tests.cases import Deployed, item, prove
from contracts.tests.evm import Anvil, Reverted
from zkmargin.chain.abi import decode_result, encode_call, encode_constructor, error_name
from zkmargin.chain.calls import deploy_verifier, joint_item, table_id
from zkmargin.chain.typed_data import commitment_part, signature_of, snapshot_table
from zkmargin.crypto.srs import embedded
from zkmargin.verifier.chain import chain_context
from zkmargin.verifier.chain.words import decode_point, keccak256, point_bytes

KEYS = sorted((Account.from_key(bytes([i + 1]) * 32) for i in range(4)), key=lambda key: int(key.address, 16))
POLICY = bytes([7]) * 32
ACCOUNT = "0x" + "ac" * 20
CLAIM_FALSE = "ClaimTooLow()"


@dataclass
class World:
    """Everything deployed on one anvil."""

    evm: Anvil
    snapshots: str
    commitments: str
    checker: str
    deployed: Deployed
    joint: str
    case: ChainCase
    rules: tuple[Any, ...]
    series: bytes

    def call(self, contract: str, to: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        return decode_result(contract, function, self.evm.call(to, encode_call(contract, function, arguments)))

    def refused(self, contract: str, to: str, function: str, *arguments: Any) -> str:
        with pytest.raises(Reverted) as reverted:
            self.evm.call(to, encode_call(contract, function, arguments))
        return error_name(reverted.value.data)

    def send(self, contract: str, to: str, function: str, *arguments: Any) -> int:
        receipt = self.evm.send(to, encode_call(contract, function, arguments))
        assert receipt.succeeded
        return receipt.gas

    # --- tables ---------------------------------------------------------------------------------------------------

    def table(self, sequence: int) -> Any:
        given = self.case.statement.table
        return given.model_copy(update={"series": self.series.hex(), "sequence": sequence})

    def entry(self, sequence: int, **changes: Any) -> dict[str, Any]:
        now = self.evm.timestamp()
        table = self.table(sequence)
        found = {
            "series": self.series,
            "sequence": sequence,
            "snapshot": bytes.fromhex(table.snapshot),
            "policy": POLICY,
            "table": table.hash,
            "time": now - 5,
            "expiry": now + 500,
        }
        return found | changes

    def registration(self, entry: dict[str, Any], signers: Any = KEYS[:2]) -> tuple[Any, ...]:
        typed = snapshot_table(self.evm.chain_id, self.snapshots, **entry)
        return self.rules, tuple(entry.values()), [signature_of(typed, key) for key in signers]

    # --- commitments ----------------------------------------------------------------------------------------------

    def part(self, role: int, key: Any, old: bytes, new: bytes, sequence: int, total: bytes, **changes: Any) -> Any:
        fields = {
            "account": ACCOUNT,
            "role": role,
            "slot_map": bytes([role + 1]) * 32,
            "old_point": keccak256(old) if old else bytes(32),
            "new_point": keccak256(new),
            "sequence": sequence,
        } | changes
        typed = commitment_part(self.evm.chain_id, self.commitments, **fields)
        return tuple(fields.values()), old, new, total, signature_of(typed, key)


@pytest.fixture
def world() -> Any:
    evm = Anvil("osaka")
    case = chain_case(chain_snapshot(groups=1), [3, -2, 0, 5, -1, 2, -4], [900_000, 30])

    def deploy(data: bytes) -> str:
        receipt = evm.send(None, data)
        assert receipt.succeeded
        assert receipt.address is not None
        return receipt.address

    snapshots = deploy(encode_constructor("SnapshotRegistry", []))
    positions, collateral = [KEYS[2].address, KEYS[3].address], [KEYS[3].address]
    arguments = [positions, collateral, bytes([1]) * 32, bytes([2]) * 32]
    commitments = deploy(encode_constructor("CommitmentRegistry", arguments))
    rules = ([key.address for key in KEYS[:3]], 2, [POLICY], 600, bytes(32))
    deployed = Deployed(evm, deploy(deploy_verifier(case.statement.table)))
    (series,) = decode_result(
        "SnapshotRegistry", "seriesOf", evm.call(snapshots, encode_call("SnapshotRegistry", "seriesOf", [rules]))
    )
    joint = deploy(deploy_verifier(case.statement.table, joint=True))
    settings = (deployed.address, snapshots, commitments, series, 1, 1, 1, 300, 50, joint)
    checker = deploy(encode_constructor("MarginChecker", [settings]))
    yield World(evm, snapshots, commitments, checker, deployed, joint, case, rules, series)
    evm.close()


def split(case: ChainCase) -> tuple[bytes, bytes, bytes]:
    """The account's positions in two parts that add up, and its collateral."""
    from zkmargin.crypto.group import decode_g1
    from zkmargin.crypto.srs import embedded
    from zkmargin.verifier.chain.words import point_bytes

    total = case.statement.statement.committed_points()["positions[0]"]
    one = embedded().g1(3)
    assert decode_g1(bytes(one.to_compressed_bytes())) == one
    return point_bytes(one), point_bytes(total - one), case.statement.commitments()[1]


def opened(world: World) -> None:
    """Every attester's part of the account."""
    first, second, collateral = split(world.case)
    world.send("CommitmentRegistry", world.commitments, "change", *world.part(0, KEYS[2], b"", first, 1, b""))
    world.send("CommitmentRegistry", world.commitments, "change", *world.part(0, KEYS[3], b"", second, 1, first))
    world.send("CommitmentRegistry", world.commitments, "change", *world.part(1, KEYS[3], b"", collateral, 1, b""))


def test_from_attestation_to_coverage(world: World) -> None:
    from dataclasses import replace

    opened(world)
    found = world.call("CommitmentRegistry", world.commitments, "commitmentsOf", ACCOUNT)
    positions, collateral = world.case.statement.commitments()
    assert found == (keccak256(positions), keccak256(collateral), 3, True)
    entry = world.entry(1)
    world.send("SnapshotRegistry", world.snapshots, "register", *world.registration(entry))

    def proof_for(count: int, sequence: int = 1) -> tuple[Any, ...]:
        block = int(world.evm.rpc("eth_blockNumber"), 16) - 1
        (nonce,) = world.call("MarginChecker", world.checker, "nonceOf", ACCOUNT, block)
        table = world.table(sequence)
        raw = bytes.fromhex
        context = chain_context(world.evm.chain_id, raw(world.deployed.address[2:]), raw(world.checker[2:]), nonce)
        inner = replace(world.case.statement.statement, context=context)
        case = replace(world.case, statement=replace(world.case.statement, statement=inner, table=table))
        sent = item(case.statement, prove(case, f"coverage {count}"))
        return ACCOUNT, table_id(table), table.content(), block, sent

    def check(*arguments: Any) -> str:
        return world.refused("MarginChecker", world.checker, "prove", *arguments)

    assert world.call("MarginChecker", world.checker, "isCovered", ACCOUNT) == (False,)
    first = proof_for(0)
    world.send("MarginChecker", world.checker, "prove", *first)
    assert world.call("MarginChecker", world.checker, "isCovered", ACCOUNT) == (True,)
    (until,) = world.call("MarginChecker", world.checker, "coveredUntil", ACCOUNT)
    assert until <= entry["expiry"]
    # once: the count is in the nonce
    assert check(*first) in {"BadInverse()", "ProofRejected()"}
    # another account, another claim, another block
    account, *rest = proof_for(1)
    assert check("0x" + "ad" * 20, *rest) == "Incomplete()"
    low = bytearray(rest[3])
    low[63] = 2
    assert check(account, *rest[:3], bytes(low)) == CLAIM_FALSE
    assert check(account, rest[0], rest[1], rest[2] + 10**6, rest[3]) == "BlockTooOld()"
    assert check(account, (bytes(32), 1, rest[0][2]), *rest[1:]) == "OtherTable()"
    swapped = rest[3][:64] + rest[3][160:256] + rest[3][64:160] + rest[3][256:]
    assert check(account, *rest[:3], swapped) == "OtherCommitments()"
    assert check(account, *rest[:3], b"") == "WrongProofLength()"
    # a table that nobody registered
    unknown = proof_for(1, sequence=9)
    assert check(*unknown) == "NotRegistered()"
    # a table of the store
    (store,) = world.call("SnapshotRegistry", world.snapshots, "store", rest[1])
    world.send("SnapshotRegistry", world.snapshots, "store", rest[1])
    account, identity, _, block, sent = proof_for(1)
    world.send("MarginChecker", world.checker, "proveStored", account, identity, store, block, sent)
    # a fill ends it, and the next proof must be of the new sum
    first_part, second_part, _ = split(world.case)
    moved = world.part(0, KEYS[2], first_part, second_part, 2, positions)
    world.send("CommitmentRegistry", world.commitments, "change", *moved)
    assert world.call("MarginChecker", world.checker, "isCovered", ACCOUNT) == (False,)
    assert check(*proof_for(2)) == "OtherCommitments()"
    back = world.part(0, KEYS[2], second_part, first_part, 3, doubled(second_part))
    world.send("CommitmentRegistry", world.commitments, "change", *back)
    world.send("MarginChecker", world.checker, "prove", *proof_for(2))
    # time ends it too
    world.evm.rpc("evm_increaseTime", 301)
    world.evm.rpc("evm_mine")
    assert world.call("MarginChecker", world.checker, "isCovered", ACCOUNT) == (False,)
    assert world.call("MarginChecker", world.checker, "coveredUntil", ACCOUNT) == (0,)
    world.evm.rpc("evm_increaseTime", 300)
    world.evm.rpc("evm_mine")
    assert check(*proof_for(3)) == "BadTime()"


def test_many_accounts_are_covered_by_one_proof(world: World) -> None:
    from dataclasses import replace

    snapshot = world.case.snapshot
    accounts = ["0x" + bytes([0xA0 + i] * 20).hex() for i in range(3)]
    books = ([3, -2, 0, 5, -1, 2, -4], [1, 0, 0, 0, 0, 0, 0], [-1, -1, 2, 0, 0, 0, 0])
    table = world.table(1)
    cases = [
        chain_case(snapshot, book, [900_000 + i, 30], table=table, seed=f"member {i}") for i, book in enumerate(books)
    ]
    for account, case in zip(accounts, cases, strict=True):
        positions, collateral = case.statement.commitments()
        part = decode_point(positions) - embedded().g1(3)
        for role, key, point, before in (
            (0, KEYS[2], point_bytes(embedded().g1(3)), b""),
            (0, KEYS[3], point_bytes(part), point_bytes(embedded().g1(3))),
            (1, KEYS[3], collateral, b""),
        ):
            change = world.part(role, key, b"", point, 1, before, account=account)
            world.send("CommitmentRegistry", world.commitments, "change", *change)
    world.send("SnapshotRegistry", world.snapshots, "register", *world.registration(world.entry(1)))

    def proof_of(chosen: list[int]) -> tuple[Any, ...]:
        block = int(world.evm.rpc("eth_blockNumber"), 16) - 1
        addresses = [accounts[i] for i in chosen]
        (nonce,) = world.call("MarginChecker", world.checker, "jointNonceOf", addresses, block)
        raw = bytes.fromhex
        context = chain_context(world.evm.chain_id, raw(world.joint[2:]), raw(world.checker[2:]), nonce)
        made = []
        for i in chosen:
            inner = replace(cases[i].statement.statement, context=context)
            made.append(replace(cases[i], statement=replace(cases[i].statement, statement=inner)))
        together = joint_case(made)
        sent = joint_item(together.statement, prove_joint(together, f"joint {chosen}"))
        return addresses, table_id(table), table.content(), block, sent

    def check(*arguments: Any) -> str:
        return world.refused("MarginChecker", world.checker, "proveJoint", *arguments)

    first = proof_of([0, 1, 2])
    world.send("MarginChecker", world.checker, "proveJoint", *first)
    for account in accounts:
        assert world.call("MarginChecker", world.checker, "isCovered", account) == (True,)
        assert world.call("MarginChecker", world.checker, "countOf", account) == (1,)
    assert check(*first) in {"BadInverse()", "ProofRejected()"}  # once
    addresses, identity, content, block, sent = proof_of([0, 1])
    assert check(addresses[:1], identity, content, block, sent) == "WrongAccounts()"
    assert check([], identity, content, block, sent) == "WrongAccounts()"
    assert check(addresses, identity, content, block, sent[:300]) == "WrongAccounts()"
    assert check(addresses[::-1], identity, content, block, sent) == "OtherCommitments()"
    assert check([addresses[0], "0x" + "ad" * 20], identity, content, block, sent) == "Incomplete()"
    assert check(addresses, identity, content, block + 10**6, sent) == "BlockTooOld()"
    assert check(addresses, (bytes(32), *identity[1:]), content, block, sent) == "OtherTable()"
    low = bytearray(sent)
    low[95] = 2
    assert check(addresses, identity, content, block, bytes(low)) == CLAIM_FALSE
    (store,) = world.call("SnapshotRegistry", world.snapshots, "store", content)
    world.send("SnapshotRegistry", world.snapshots, "store", content)
    addresses, identity, _, block, sent = proof_of([2, 0])
    world.send("MarginChecker", world.checker, "proveJointStored", addresses, identity, store, block, sent)
    assert world.call("MarginChecker", world.checker, "countOf", accounts[0]) == (2,)
    assert world.call("MarginChecker", world.checker, "countOf", accounts[1]) == (1,)
    # a checker without one says so
    settings = (
        world.deployed.address,
        world.snapshots,
        world.commitments,
        world.series,
        1,
        1,
        1,
        300,
        50,
        "0x" + "00" * 20,
    )
    alone = world.evm.send(None, encode_constructor("MarginChecker", [settings])).address
    assert alone is not None
    found = world.refused("MarginChecker", alone, "proveJoint", addresses, identity, content, block, sent)
    assert found == "NoJointVerifier()"


def doubled(point: bytes) -> bytes:
    from zkmargin.verifier.chain.words import decode_point, point_bytes

    return point_bytes(decode_point(point) + decode_point(point))


def test_tables_need_their_attesters_and_their_rules(world: World) -> None:
    def refused(*arguments: Any) -> str:
        return world.refused("SnapshotRegistry", world.snapshots, "register", *arguments)

    entry = world.entry(1)
    assert refused(*world.registration(entry, KEYS[:1])) == "NotAttested()"
    assert refused(*world.registration(entry, [KEYS[0], KEYS[0]])) == "NotAttested()"
    assert refused(*world.registration(entry, [KEYS[1], KEYS[0]])) == "NotAttested()"
    assert refused(*world.registration(entry, [KEYS[0], KEYS[3]])) == "NotAttested()"
    rules, values, signatures = world.registration(entry)
    assert refused(rules, (values[0], 2, *values[2:]), signatures) == "NotAttested()"
    assert refused((*rules[:3], 601, rules[4]), values, signatures) == "OtherSeries()"
    for broken in ((*rules[:1], 0, *rules[2:]), (rules[0][::-1], *rules[1:]), (*rules[:1], 4, *rules[2:])):
        assert refused(broken, values, signatures) == "BadRules()"
    now = world.evm.timestamp()
    for changes in ({"time": now + 100}, {"expiry": now - 1}, {"expiry": now + 700}):
        assert refused(*world.registration(world.entry(1, **changes))) == "BadTime()"
    assert refused(*world.registration(world.entry(1, policy=bytes(32)))) == "OtherPolicy()"
    world.send("SnapshotRegistry", world.snapshots, "register", *world.registration(entry, [KEYS[0], KEYS[2]]))
    assert refused(*world.registration(world.entry(1))) == "OldSequence()"
    for sequence in (2, 3):
        world.send("SnapshotRegistry", world.snapshots, "register", *world.registration(world.entry(sequence)))
    current = encode_call("SnapshotRegistry", "current", [world.series, 2, 1])
    assert (
        decode_result("SnapshotRegistry", "current", world.evm.call(world.snapshots, current))[0] == world.table(2).hash
    )
    assert world.refused("SnapshotRegistry", world.snapshots, "current", world.series, 1, 1) == "OldSequence()"
    assert world.refused("SnapshotRegistry", world.snapshots, "current", world.series, 9, 1) == "NotRegistered()"


def test_commitments_change_only_by_their_attesters_word(world: World) -> None:
    opened(world)
    first, second, collateral = split(world.case)
    positions, _ = world.case.statement.commitments()

    def refused(*arguments: Any) -> str:
        return world.refused("CommitmentRegistry", world.commitments, "change", *arguments)

    assert refused(*world.part(0, KEYS[0], first, second, 2, positions)) == "NotAttested()"
    assert refused(*world.part(1, KEYS[2], b"", second, 1, collateral)) == "NotAttested()"  # positions alone
    assert refused(*world.part(0, KEYS[2], first, second, 1, positions)) == "OldSequence()"
    assert refused(*world.part(0, KEYS[2], first, second, 3, positions)) == "OldSequence()"
    assert refused(*world.part(0, KEYS[2], second, first, 2, positions)) == "BadPart()"
    assert refused(*world.part(0, KEYS[2], first, bytes(96), 2, positions)) == "BadPart()"
    assert refused(*world.part(0, KEYS[2], first, second, 2, first)) == "BadSum()"
    assert refused(*world.part(0, KEYS[2], first, second, 2, positions, slot_map=bytes(32))) == "BadPart()"
    assert refused(*world.part(2, KEYS[2], first, second, 2, positions)) == "BadPart()"
    fields, old, _, total, signature = world.part(0, KEYS[2], first, second, 2, positions)
    assert refused((*fields[:4], keccak256(first), fields[5]), old, first, total, signature) == "NotAttested()"
    # parts that cancel
    from zkmargin.verifier.chain.words import decode_point, point_bytes

    negated = point_bytes(-decode_point(second))
    assert refused(*world.part(0, KEYS[2], first, negated, 2, positions)) == "BadSum()"


def test_a_table_of_another_chain_is_not_attested_here(world: World) -> None:
    entry = world.entry(1)
    typed = snapshot_table(1, world.snapshots, **entry)
    signatures = [signature_of(typed, key) for key in KEYS[:2]]
    arguments = (world.rules, tuple(entry.values()), signatures)
    assert world.refused("SnapshotRegistry", world.snapshots, "register", *arguments) == "NotAttested()"


def test_wallets_sign_the_same_digest(world: World) -> None:
    from eth_account.messages import encode_typed_data

    typed = snapshot_table(world.evm.chain_id, world.snapshots, **world.entry(1))
    signed = KEYS[0].sign_message(encode_typed_data(full_message=typed.document()))
    assert bytes(signed.message_hash) == typed.digest
    (separator,) = world.call("SnapshotRegistry", world.snapshots, "domainSeparator")
    assert separator == typed.typed.domain_separator

"""Cases of the contract tests: proofs for a deployed verifier, and what each EVM says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from support.chain_lab import SERIES, ChainCase, JointCase, by_size, chain_case, joint_case, prove
from support.chain_offsets import in_one_product_group, with_tails
from support.lab import snapshot

from contracts.tests.evm import EVM, Reverted
from zkmargin.chain.abi import error_name
from zkmargin.chain.calls import deploy_verifier, item, verify_call
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.gain_offset import Family, OffsetClass
from zkmargin.engine.components.pools import Mode
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier.chain import ChainProof, ChainStatement, Table, chain_context
from zkmargin.verifier.chain.argument import reduce_chain
from zkmargin.verifier.chain.joint import JointStatement
from zkmargin.verifier.verify import fold, holds

NONCE = bytes(range(32))


@cache
def sized_snapshot(
    scenarios: int,
    *,
    count: int = 1023,
    groups: int = 1,
    seed: int = 5,
    modes: tuple[Mode, ...] = (),
    classes: int = 0,
    tails: int = 0,
) -> Snapshot:
    """Real sizes: 44-bit risk values, 43-bit marks, 40-bit minimums, three assets of which the first may be owed.

    ``modes`` are those of charges by size; ``classes`` those of one product group, whose gains count for nine tenths;
    ``tails`` how many dampened tails each risk group has.
    """
    groups = classes or groups
    draw = np.random.default_rng(seed)
    risk = draw.integers(-(2**44), 2**44, size=(count, scenarios)).tolist()
    given = snapshot(
        groups=sorted(i % groups for i in range(count)),
        risk=risk,
        charges=draw.integers(0, 2**40, size=count).tolist(),
        marks=draw.integers(0, 2**43, size=count).tolist(),
        assets=[(2**59 + j, 2**59 + 2**50 + j, 50, j == 0) for j in range(3)],
        n=1024,
        bits=30,
    )
    if classes:
        given = in_one_product_group(given, ((9_000, None),) * classes)
    if tails:
        families = [
            Family(name=f"U{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=("all",))
            for g in range(groups)
        ]
        extreme = draw.integers(-(2**45), 2**45, size=(count, tails)).tolist()
        given = with_tails(given, families, extreme, [(tails, 10**14)] * groups)
    for mode in modes:
        given = by_size(given, mode, group="F0" if classes else None)
    return given


def sized_case(
    scenarios: int, context: bytes, *, seed: int = 1, table: Table | None = None, **options: Any
) -> ChainCase:
    """An account over a snapshot of real size, 20-bit positions."""
    given = sized_snapshot(scenarios, **options)
    draw = np.random.default_rng(seed)
    positions = draw.integers(-(2**20) + 1, 2**20, size=len(given.instruments)).tolist()
    funds = [2**49, 2**49, 2**48]
    return chain_case(given, positions, funds, claim=Claim(5, 4, "initial"), context=context, table=table)


@cache
def sized_joint(accounts: int, scenarios: int, modes: tuple[Mode, ...] = ()) -> JointCase:
    """Accounts over a snapshot of real size, 20-bit positions."""
    first = sized_case(scenarios, b"", modes=modes)
    table = first.statement.table
    others = (sized_case(scenarios, b"", seed=100 + i, table=table, modes=modes) for i in range(1, accounts))
    return joint_case([first, *others])


@dataclass(frozen=True)
class Deployed:
    """A verifier on an EVM, for the layout of a case."""

    evm: EVM
    address: str

    @classmethod
    def of(cls, evm: EVM, case: ChainCase | JointCase) -> Deployed:
        joint = isinstance(case, JointCase)
        receipt = evm.send(None, deploy_verifier(case.statement.table, joint=joint))
        assert receipt.succeeded
        assert receipt.address is not None
        return cls(evm, receipt.address)

    def context(self, nonce: bytes = NONCE) -> bytes:
        """What a proof for this verifier, sent by the test's account, is bound to."""
        raw = bytes.fromhex
        return chain_context(self.evm.chain_id, raw(self.address[2:]), raw(self.evm.account[2:]), nonce)

    def bound(self, case: ChainCase, nonce: bytes = NONCE) -> ChainCase:
        """The same account with a statement for this verifier."""
        inner = replace(case.statement.statement, context=self.context(nonce))
        return replace(case, statement=replace(case.statement, statement=inner))

    def bound_joint(self, case: JointCase, nonce: bytes = NONCE) -> JointCase:
        """The same accounts with a statement for this verifier."""
        return joint_case([self.bound(one, nonce) for one in case.cases])

    def verdict(self, statement: ChainStatement | JointStatement, sent: bytes, nonce: bytes = NONCE) -> str | bytes:
        """The statement digest, or the error."""
        try:
            answer = self.evm.call(self.address, verify_call(statement.table, nonce, sent))
        except Reverted as reverted:
            return error_name(reverted.data)
        assert answer[:32] == statement.table.hash
        return answer[32:64]


@dataclass(frozen=True)
class Judged:
    """What was said of changed bytes.

    Attributes:
        name: of the change.
        contract: the statement digest, or the error.
        python: the statement digest, or None.
    """

    name: str
    contract: str | bytes
    python: bytes | None


def judge(
    deployed: Deployed,
    statement: ChainStatement | JointStatement,
    changed: Iterable[tuple[str, bytes]],
    python: Callable[[bytes], bytes | None],
) -> Iterator[Judged]:
    """Both verdicts on each of many changed proofs: the EVM works on one while Python does."""
    with ThreadPoolExecutor(1) as evm:
        for name, sent in changed:
            asked = evm.submit(deployed.verdict, statement, sent)
            own = python(sent)
            yield Judged(name, asked.result(), own)


def agree(judged: Iterable[Judged]) -> None:
    """Every pair of verdicts is one, and every refusal has a name."""
    for one in judged:
        found = one.contract if isinstance(one.contract, bytes) else None
        assert found == one.python, f"{one.name}: {one.contract!r}"
        assert not isinstance(one.contract, str) or not one.contract.startswith("reverted"), f"{one.name}: no name"


def python_verdict(statement: ChainStatement, proof: ChainProof) -> bytes | None:
    """The statement digest, or None: the Python verifier on the same bytes."""
    srs = statement.statement.srs
    try:
        opening = reduce_chain(statement, proof)
    except (ProofFormatError, VerificationError, InputError):
        return None
    return opening.statement_digest if holds(*fold([opening], [1], srs), srs) else None


__all__ = [
    "NONCE",
    "SERIES",
    "Deployed",
    "agree",
    "item",
    "judge",
    "prove",
    "python_verdict",
    "sized_case",
    "sized_joint",
    "sized_snapshot",
]

"""The chain protocol ``chain/v1``: the argument that a contract can check (docs/protocol-chain.md).

The table of a snapshot, which a registry keeps, and a proof about it:

>>> from zkmargin import Claim
>>> from zkmargin.circuits.chain import ChainPrices
>>> from zkmargin.crypto.srs import embedded
>>> from zkmargin.prover.chain_tables import commit_rows_fast
>>> from zkmargin.prover.prove_chain import prove_chain
>>> prices = ChainPrices.of(snapshot, "initial")
>>> table = make_table(
...     prices,
...     srs=embedded(),
...     snapshot_digest=snapshot.digest(),
...     requirement="initial",
...     series=bytes(32),
...     sequence=1,
...     commit=commit_rows_fast,
... )
>>> chain_statement = ChainStatement.of(snapshot, [commitment], Claim("1.1"), table)
>>> chain_proof = prove_chain(chain_statement, lots, [opening])
>>> len(chain_proof)
1612
"""

from zkmargin.verifier.chain.argument import reduce_chain, verify_chain
from zkmargin.verifier.chain.proof import ChainProof, decode_chain_proof, encode_chain_proof
from zkmargin.verifier.chain.statement import ChainStatement, chain_context
from zkmargin.verifier.chain.table import Table, check_table, layout_digest, make_table

__all__ = [
    "ChainProof",
    "ChainStatement",
    "Table",
    "chain_context",
    "check_table",
    "decode_chain_proof",
    "encode_chain_proof",
    "layout_digest",
    "make_table",
    "reduce_chain",
    "verify_chain",
]

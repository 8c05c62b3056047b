"""The chain protocol ``chain/v1``: the argument that a contract can check (docs/protocol-chain.md)."""

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

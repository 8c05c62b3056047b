"""On chain: the compiled contracts, what is signed for them, and how to talk to them (docs/chain.md)."""

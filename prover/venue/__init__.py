"""Proofs about every account of a venue at once (docs/protocol-venue.md)."""

"""Verification of venue proofs: every account at once (docs/protocol-venue.md)."""

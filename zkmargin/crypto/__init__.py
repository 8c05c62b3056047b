"""Cryptographic primitives without finance: field, domain, group, SRS, commitments, transcript."""

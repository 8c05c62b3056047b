"""A signer outside, as an HSM's driver would be."""

from __future__ import annotations

#: Reads a request, signs with the secret that it was given (hex), answers.
SIGNER = """
import json, sys
from zkmargin.crypto.signatures import module_of
request = json.loads(sys.stdin.readline())
signature = module_of(request["scheme"]).sign(bytes.fromhex(sys.argv[1]), bytes.fromhex(request["message"]))
print(json.dumps({"format": "zkmargin/signer-answer/v1", "signature": signature.hex()}))
"""

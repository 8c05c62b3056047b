"""Signers: one outside, as an HSM's driver would be, and keys with fixed secrets."""

from __future__ import annotations

from zkmargin.crypto.keys import PublicKey
from zkmargin.crypto.signatures import Message, Scheme, Signature, module_of

#: Reads a request, signs with the secret that it was given (hex), answers.
SIGNER = """
import json, sys
from zkmargin.crypto.signatures import module_of
request = json.loads(sys.stdin.readline())
signature = module_of(request["scheme"]).sign(bytes.fromhex(sys.argv[1]), bytes.fromhex(request["message"]))
print(json.dumps({"format": "zkmargin/signer-answer/v1", "signature": signature.hex()}))
"""


class Key:
    """A signer with a fixed secret."""

    def __init__(self, seed: int, scheme: Scheme = "ed25519") -> None:
        self.secret, self.scheme = bytes([seed]) * 32, scheme
        key = module_of(scheme).public_key(self.secret).hex()
        self.public = PublicKey(name=f"key {seed}", scheme=scheme, public_key=key)

    def sign(self, message: Message) -> Signature:
        return Signature.make(self.scheme, self.secret, message)


OURS = Key(7)

"""Who attests accounts in benchmarks and tests: keys, and what venue and custodian sign of a commitment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zkmargin.accounts import Commitment
from zkmargin.crypto import ed25519
from zkmargin.crypto.keys import PublicKey, SecretSigner
from zkmargin.engine.decimals import format_time
from zkmargin.verifier.attest import Attestation, CommitmentPayload

#: Role -> who attests it, unless something else is said.
ISSUERS = {"positions": "venue", "collateral": "custodian"}


def new_signer(name: str) -> SecretSigner:
    """A new key of a party."""
    secret = ed25519.generate_secret()
    return SecretSigner(PublicKey(name=name, scheme="ed25519", public_key=ed25519.public_key(secret).hex()), secret)


def attested_parts(
    commitment: Commitment,
    signer: Callable[[str], SecretSigner],
    *,
    beneficiary: str,
    issued_ms: int,
    expires_ms: int,
    sequence: int = 1,
    issuers: Mapping[str, str] = ISSUERS,
) -> list[Attestation]:
    """An attestation of each part of a commitment, in its order; collateral is held for the beneficiary.

    Args:
        signer: the key of an issuer.
        issuers: role -> issuer.
    """
    made = []
    for part in commitment.parts:
        issuer = issuers[part.role]
        payload = CommitmentPayload.of(
            part,
            srs=commitment.srs,
            domain_size=commitment.domain_size,
            issuer=issuer,
            part="main",
            sequence=sequence,
            issued=format_time(issued_ms),
            expires=format_time(expires_ms),
            beneficiary=beneficiary if part.role == "collateral" else None,
        )
        made.append(Attestation(payload=payload).signed(signer(issuer)))
    return made

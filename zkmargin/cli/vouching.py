"""Whose word a verifier takes for a statement's files, and how old they may be: the options and the terms they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from zkmargin.app.files import load
from zkmargin.app.verifying import Terms, clock_ms
from zkmargin.cli.options import derivation_options, derived_policy, own_policy_option, parse_age, revocations_option
from zkmargin.cli.policies import own_policy
from zkmargin.engine.policy import Policy
from zkmargin.verifier.attest import Attestation, Revocations, Trust
from zkmargin.verifier.attest.challenge import Challenge

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class VouchingOptions:
    """The texts of ``vouching_options``, and of ``--max-age``."""

    trust_path: str | None
    attestation_paths: tuple[str, ...]
    revocation_paths: tuple[str, ...]
    policy_name: str | None
    derivation_path: str | None
    before_paths: tuple[str, ...]
    history_path: str | None
    vols_path: str | None
    max_age: str | None

    def terms(self, challenge: Challenge | None = None) -> Terms:
        """What they ask of a proof, by this machine's clock. Raises InputError."""
        return Terms(
            now_ms=clock_ms(),
            max_age_seconds=None if self.max_age is None else parse_age(self.max_age),
            trust=None if self.trust_path is None else load(Trust, self.trust_path),
            attestations=tuple(load(Attestation, path) for path in self.attestation_paths),
            revocations=tuple(load(Revocations, path) for path in self.revocation_paths),
            policy=None if self.policy_name is None else own_policy(self.policy_name),
            challenge=challenge,
        )

    def derived(self, policy: Policy) -> dict[str, str]:
        """By the policy's digest the rule that it follows from, recomputed from the verifier's own history."""
        paths = self.derivation_path, self.history_path, self.vols_path, self.before_paths
        return derived_policy(policy, *paths, trusted=self.trust_path)


def trust_option(function: F) -> F:
    """``--trust FILE``."""
    return click.option(
        "--trust", "trust_path", metavar="FILE", help="Your trust file: whose signatures count for what."
    )(function)


def vouching_options(function: F) -> F:
    """``--trust``, ``--attestation``, ``--revocations``, ``--policy`` and how a policy follows from a rule."""
    policy_option = own_policy_option(
        required=False,
        text="Your policy, by name or file: a snapshot under another one is refused, whatever it is called.",
    )
    attestation_option = click.option(
        "--attestation",
        "attestation_paths",
        multiple=True,
        metavar="FILE",
        help="With --trust: of the snapshot, and of each part of the commitments.",
    )
    return trust_option(attestation_option(revocations_option(policy_option(derivation_options(function)))))

"""Commitments over the kept Lagrange basis: the same points as over the powers, from scalars that say nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G1Point

from zkmargin.crypto import commitment
from zkmargin.crypto.commitment import blind, commit_coefficients, commit_values, kept_lagrange_basis, lagrange_basis
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.group import msm_many
from zkmargin.crypto.srs import G1_BYTES, embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.formats import private_cache
from zkmargin.formats.kept import keep

N = 16
DOMAIN = Domain.of(N)
TOP = 2**63 - 1
COLUMNS = ([0] * N, [TOP, -TOP, 0, 1, -1, *range(11)], [7 * i - 40 for i in range(N)], [TOP] * N, [-TOP] * N)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(private_cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    commitment._kept_basis.cache_clear()
    yield tmp_path / "cache" / "tables"
    commitment._kept_basis.cache_clear()


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The scalars of every sum that is made."""
    seen: list[Sequence[int]] = []

    def watched(jobs: Sequence[tuple[Sequence[G1Point], Sequence[int]]]) -> list[G1Point]:
        seen.extend(scalars for _, scalars in jobs)
        return msm_many(jobs)

    monkeypatch.setattr(commitment, "msm_many", watched)
    return seen


def over_powers(values: Sequence[int], blinder: int) -> G1Point:
    return commit_coefficients(embedded(), blind(DOMAIN.intt([x % r for x in values]), [blinder], N))


@pytest.mark.parametrize("values", COLUMNS)
@pytest.mark.parametrize("blinder", [0, 1, r - 1, 7**80 % r])
def test_both_bases_give_the_same_point(values: list[int], blinder: int, sums: list[Sequence[int]]) -> None:
    kept_lagrange_basis(embedded(), DOMAIN)
    expected = over_powers(values, blinder)
    sums.clear()
    assert commit_values(embedded(), DOMAIN, values, blinder) == expected
    assert [len(scalars) for scalars in sums] == [N]  # the Lagrange basis, not the n + 1 powers


def test_whatever_the_book_holds_no_scalar_is_zero_and_none_is_longer_than_64_bits(sums: list[Sequence[int]]) -> None:
    kept_lagrange_basis(embedded(), DOMAIN)
    for values in COLUMNS:
        commit_values(embedded(), DOMAIN, values, 5)
    assert len(sums) == len(COLUMNS)
    assert all(0 < scalar < 2**64 for scalars in sums for scalar in scalars)


@pytest.mark.parametrize("values", [[TOP + 1, *[0] * 15], [-TOP - 1, *[0] * 15], [r - 1] * N])
def test_longer_values_are_committed_over_the_powers(values: list[int], sums: list[Sequence[int]]) -> None:
    kept_lagrange_basis(embedded(), DOMAIN)
    assert commit_values(embedded(), DOMAIN, values, 3) == over_powers(values, 3)
    assert {len(scalars) for scalars in sums} == {N + 1}


def test_without_a_kept_basis_nobody_waits_for_one(cache_folder: Path, sums: list[Sequence[int]]) -> None:
    assert commit_values(embedded(), DOMAIN, COLUMNS[2], 3) == over_powers(COLUMNS[2], 3)
    assert {len(scalars) for scalars in sums} == {N + 1}
    assert not list(cache_folder.iterdir())
    kept_lagrange_basis(embedded(), DOMAIN)  # whoever proves makes it, and then it is used
    sums.clear()
    commit_values(embedded(), DOMAIN, COLUMNS[2], 3)
    assert [len(scalars) for scalars in sums] == [N]


def test_the_kept_basis_is_the_derived_one(cache_folder: Path) -> None:
    expected = b"".join(bytes(point.to_xy_bytes_be()) for point in lagrange_basis(embedded(), DOMAIN))
    assert kept_lagrange_basis(embedded(), DOMAIN) == expected == kept_lagrange_basis(embedded(), DOMAIN)
    assert len(list(cache_folder.iterdir())) == 1


def test_a_damaged_or_exchanged_basis_is_not_used(cache_folder: Path, sums: list[Sequence[int]]) -> None:
    good = kept_lagrange_basis(embedded(), DOMAIN)
    (file,) = cache_folder.iterdir()
    whole = file.read_bytes()
    for bad in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], whole + b"\0", b""):
        file.write_bytes(bad)
        assert commit_values(embedded(), DOMAIN, COLUMNS[1], 3) == over_powers(COLUMNS[1], 3)
    # one of another setup in its place, with a checksum of its own, does not add up to 1
    other = kept_lagrange_basis(insecure_from_tau(0xC0FFEE, N + 1), DOMAIN)
    assert len(other) == N * G1_BYTES
    assert keep(commitment._basis_key(embedded(), N), other[: N * G1_BYTES - G1_BYTES] + good[:G1_BYTES])
    assert commit_values(embedded(), DOMAIN, COLUMNS[1], 3) == over_powers(COLUMNS[1], 3)
    assert {len(scalars) for scalars in sums} == {N + 1}

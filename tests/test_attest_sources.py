"""What an oracle signs is rebuilt from its own files: a market, a market in a universe, imported risk arrays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.typed import Passed

from zkmargin.app.attesting import attest_snapshot
from zkmargin.cli import main
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing import snapshots
from zkmargin.engine.publishing.snapshots import (
    build_snapshot_from_arrays,
    check_snapshot,
    check_snapshot_of_arrays,
)
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import FrozenMap, InputError, load_document, save_document

ARRAYS = Path(__file__).parent / "data" / "golden" / "v1" / "documents" / "golden.risk-arrays.json"


@pytest.fixture(scope="module")
def arrays() -> RiskArrays:
    """Without the golden file's calendar spread, whose deltas the exact method does not take."""
    return load_document(RiskArrays, ARRAYS).model_copy(update={"calendars": FrozenMap(), "credits": ()})


@pytest.fixture(scope="module")
def snapshot(arrays: RiskArrays) -> Snapshot:
    return build_snapshot_from_arrays(arrays, load_policy("span"))


def test_t15_imported_arrays_can_be_attested(
    arrays: RiskArrays, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload: Passed = attest_snapshot(snapshot, arrays, load_policy("span"), series="span", sequence=1).payload
    assert (payload.market, payload.snapshot) == (arrays.digest().hex(), snapshot.digest().hex())
    with pytest.raises(InputError, match="another policy than yours"):
        attest_snapshot(snapshot, arrays, load_policy("default"), series="span", sequence=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zkmargin.crypto.keys.SCRYPT_LOG_N", 14)
    (tmp_path / "pass").write_text("long enough\n")
    (tmp_path / "pass").chmod(0o600)
    save_document(snapshot, tmp_path / "snapshot.json")
    save_document(arrays, tmp_path / "arrays.json")
    key = "--key k.json --passphrase-file pass"
    assert main(["key", "new", "--name", "oracle", "--passphrase-file", "pass", "-o", "k.json"]) == 0
    words = f"attest snapshot snapshot.json --policy span --sequence 1 {key} -o a.json".split()
    assert main([*words, "--arrays", "arrays.json"]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["payload"]["market"] == arrays.digest().hex()
    assert main(words) == 2  # neither
    assert main([*words, "--arrays", "arrays.json", "--market", "market.json"]) == 2


def test_t15_equal_fields_with_another_digest_are_refused(
    arrays: RiskArrays, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests decide, for arrays as for markets: a field that compares equal is no proof of sameness."""
    check_snapshot_of_arrays(snapshot, arrays)
    digests = iter((b"\1" * 32, b"\2" * 32))
    monkeypatch.setattr(Snapshot, "digest", lambda _: next(digests))
    with pytest.raises(InputError) as caught:
        snapshots._refuse_another(snapshot, snapshot.model_copy(), "arrays")
    assert caught.value.field == "digest"
    assert check_snapshot.__module__ == check_snapshot_of_arrays.__module__ == snapshots.__name__

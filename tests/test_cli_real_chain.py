"""A real option chain, from the exchange's file to an accepted proof, on the command line alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import Run
from support.typed import Json

from zkmargin.cli import main

pytestmark = pytest.mark.conformance

CHAIN = "margin/deribit/deribit_btc_options_2021-02-11.csv"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Json]:
    command_line = Run(capsys)
    return lambda line, *more, code=0: command_line(line, *more, "--json", code=code).json


def write_book(path: Path, market: Json) -> None:
    """Short strangles around the money in every expiry with bought wings, over the real chain."""
    index = float(market["underlyings"][0]["index_price"])
    positions: dict[str, str] = {}
    for forward in market["forwards"]:
        chain = [i for i in market["instruments"] if i["expiry"] == forward["expiry"]]
        for right, sign in (("call", 1), ("put", -1)):
            own = sorted((i for i in chain if i["option_type"] == right), key=lambda i: sign * float(i["strike"]))
            beyond = [i for i in own if sign * float(i["strike"]) > sign * index]
            if len(beyond) > 3:
                positions[beyond[0]["id"]] = "-12.5"
                positions[beyond[1]["id"]] = "-3.1"
                positions[beyond[-1]["id"]] = "14"
    book = {
        "format": "zkmargin/book/v1",
        "positions": positions,
        "collateral": {"USDC": "2500000.01", "BTC": "200.00001"},
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(book, indent=1))


@pytest.mark.parametrize("pull", [1, 2])
def test_real_chain_to_accepted_proof(
    folder: Path,
    conformance_family: Callable[[str], list[Path]],
    run: Callable[..., Json],
    capsys: pytest.CaptureFixture[str],
    pull: int,
) -> None:
    (chain,) = conformance_family(CHAIN)
    imported = run("market import --format deribit-csv -o market.json --price USDC=1 --pull", str(pull), str(chain))
    assert imported["instruments"] > 200
    notes = " ".join(imported["notes"])
    for trap in ("pull", "median", "no futures", "USDC = 1"):
        assert trap in notes
    built = run("snapshot build market.json --policy default -o snapshot.json")
    assert built["instruments"] == imported["instruments"]
    assert run("snapshot check snapshot.json market.json")["same"] is True

    market = json.loads((folder / "market.json").read_text())
    write_book(folder / "book.json", market)
    report = run("margin book.json --snapshot snapshot.json")["requirements"]["initial"]
    assert float(report["total"]) > 0
    assert len(report["legs"]) > 20
    checked = run("check --snapshot snapshot.json --book book.json")
    assert checked["holds"] is True
    run("commit book.json --snapshot snapshot.json -o commitment.json --opening opening.json")
    proved = run("prove --snapshot snapshot.json --book book.json --opening opening.json -o proof.bin --context real")
    verify = "verify --snapshot snapshot.json --commitment commitment.json proof.bin --context"
    accepted = run(verify, "real")
    assert accepted["accepted"] is True
    assert accepted["claim"] == proved["statement"]["claim"]
    assert (folder / "proof.bin").stat().st_size == built["layout"]["proof_bytes"] == proved["bytes"]
    assert run(verify, "other", code=1)["accepted"] is False

    # A claim just above what the book supports is refused, and leaves no file.
    num, den = map(int, checked["largest_claim"].split("/"))
    above = f"{num // den + 1}"
    line = f"prove --snapshot snapshot.json --book book.json --opening opening.json --claim {above} -o false.bin"
    assert main(line.split()) == 1
    assert "the claim is false" in capsys.readouterr().err
    assert not (folder / "false.bin").exists()


def test_real_chain_is_stale_under_a_strict_policy(
    folder: Path,
    conformance_family: Callable[[str], list[Path]],
    run: Callable[..., Json],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (chain,) = conformance_family(CHAIN)
    run("market import --format deribit-csv -o market.json", str(chain))
    policy = run("policy show default")
    (folder / "strict.json").write_text(json.dumps(policy | {"max_price_age_seconds": 1}))
    assert main(["snapshot", "build", "market.json", "--policy", "strict.json", "-o", "snapshot.json"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("zkmargin: error: market.json: ")
    assert "older than the market (the policy allows 1 s)" in err
    assert not (folder / "snapshot.json").exists()

"""The market maker's agent over folders: what it proves, what it refuses to, and what it says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Run
from support.watching import BIG, DESK, World, alarms, parts, running, until

from zkmargin.accounts import Commitment
from zkmargin.agent.inbox import Folder
from zkmargin.agent.journal import Generation, Journal
from zkmargin.agent.sources import INBOX
from zkmargin.app.batches import BatchList
from zkmargin.app.verifying import clock_ms
from zkmargin.engine.book import to_lots
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import format_time, from_units
from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
from zkmargin.engine.margin import margin_report
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import load_document
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Attestation, Challenge, CommitmentPayload, Revocations, accept
from zkmargin.verifier.attest.revocations import RevocationsPayload
from zkmargin.verifier.attest.trust import RevocationRule


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, collateral=BIG)


def accepted(world: World, path: Path, *attestations: Attestation, challenge: Challenge | None = None) -> Acceptance:
    """The desk's own verdict about a proof in the outbox, from its own snapshots and trust."""
    (item,) = load_document(BatchList, path).proofs
    snapshot = load_document(Snapshot, world.home / "inbox" / item.snapshot)
    commitment = load_document(Commitment, path.parent / item.commitments[0])
    context = challenge.context if challenge else item.context.encode()
    statement = Statement.of(snapshot, [commitment], Claim.parse(item.claim, item.requirement), context=context)
    signed = world.sign(snapshot, int(Path(item.snapshot).stem))
    proof = (path.parent / item.proof).read_bytes()
    return accept(
        statement,
        proof,
        now_ms=world.now_ms,
        trust=world.trust(),
        attestations=[signed, *attestations],
        challenge=challenge,
    )


# --- snapshots ------------------------------------------------------------------------------------------------------


def test_every_snapshot_is_proved_and_a_receipt_settles_it(world: World) -> None:
    with running(world.config()) as (agent, lines):
        for number in (1, 2):
            world.publish(world.moved(number), number)
            until(partial(_so_many, world, number))
        first = accepted(world, world.proofs()[0], *parts(world))
        receipt = first.receipt(software="test").signed(world.keys[DESK])
        world.save("inbox/receipt.json", receipt)
        until(lambda: lines.events("accepted"))
        assert [made.state for made in agent.journal.proofs()] == ["delivered", "accepted"]
        assert agent.journal.proofs()[1].receipt == receipt.to_bytes().decode()
        assert not agent.alarms.active()
    accepted(world, world.proofs()[1], *parts(world))


def test_a_receipt_of_somebody_else_settles_nothing(world: World) -> None:
    with running(world.config()) as (agent, _):
        world.publish(world.moved(1), 1)
        until(world.proofs)
        receipt = accepted(world, world.proofs()[0], *parts(world)).receipt(software="test")
        world.save("inbox/receipt.json", receipt.signed(world.keys["venue"]))
        until(agent.alarms.active)
        assert [made.state for made in agent.journal.proofs()] == ["delivered"]
        assert next(iter(alarms(agent)))[0] == "untrusted"


def test_only_signed_snapshots_are_proved(world: World) -> None:
    with running(world.config()) as (agent, lines):
        late, foreign = world.moved(1), world.moved(2)
        world.save("inbox/000001.json", late)
        world.save("inbox/000002.att.json", world.sign(foreign, 2, who="venue"))
        world.save("inbox/000002.json", foreign)
        until(lambda: ("untrusted", foreign.digest().hex()[:16]) in alarms(agent))
        assert not world.proofs()
        world.save("inbox/000001.att.json", world.sign(late, 1))
        until(world.proofs)
        assert [event["snapshot"] for event in lines.events("proved")] == [late.digest().hex()]


def test_lists_of_revocations_count_by_their_signatures(world: World) -> None:
    """A list that nobody signed, or of an issuer whom the trust file does not name, would stop every snapshot."""
    rule = RevocationRule(name="custodian", signers=("custodian",), threshold=1, max_age_seconds=86_400)
    world.save("trust.json", world.trust().replaced(revocations=(rule,)))

    def listed(sequence: int, issuer: str = "custodian") -> Revocations:
        time = format_time(world.now_ms)
        return Revocations(payload=RevocationsPayload(issuer=issuer, sequence=sequence, time=time))

    world.save("inbox/good.json", listed(1).signed(world.keys["custodian"]))
    with running(world.config()) as (agent, _):
        until(lambda: agent.revocations)
        world.save("inbox/unsigned.json", listed(8))
        world.save("inbox/forged.json", listed(9).signed(world.keys["oracle"]))
        world.save("inbox/other.json", listed(1, "somebody").signed(world.keys["custodian"]))
        until(lambda: len(alarms(agent)) == 2)
        assert set(alarms(agent)) == {
            ("untrusted", "revocations by custodian"),
            ("untrusted", "revocations by somebody"),
        }
        assert {name: found.payload.sequence for name, found in agent.revocations.items()} == {"custodian": 1}
        world.publish(world.moved(1), 1)
        until(world.proofs)


def test_an_attestation_of_a_part_counts_by_its_signatures(world: World) -> None:
    """One with a higher number that nobody signed would be handed to venues instead of the good one."""
    good = {attestation.payload.stream: attestation for attestation in parts(world)}
    first = next(iter(good.values()))
    assert isinstance(first.payload, CommitmentPayload)
    forged = Attestation(payload=first.payload.replaced(sequence=99, expires="2099-01-01T00:00:00Z"))
    with running(world.config()) as (agent, _):
        world.save("inbox/unsigned.json", forged)
        until(lambda: alarms(agent))
        world.save("inbox/forged.json", forged.signed(world.keys["oracle"]))
        world.publish(world.moved(1), 1)
        until(world.proofs)
        assert set(agent.account.attestations) == set(good.values())
        assert ("untrusted", "venue: positions main") in alarms(agent)
        newer = {attestation.payload.stream: attestation for attestation in world.attest()}
        for place, attestation in enumerate(newer.values()):
            world.save(f"inbox/newer-{place}.json", attestation)
        until(lambda: set(agent.account.attestations) == set(newer.values()))
        assert not alarms(agent)


def test_a_snapshot_under_another_policy_is_not_proved(world: World) -> None:
    world.save(
        "trust.json", world.trust().replaced(snapshots=(world.trust().snapshots[0].replaced(policies=("ab" * 32,)),))
    )
    with running(world.config()) as (agent, _):
        world.publish(world.moved(1), 1)
        until(agent.alarms.active)
        assert "policy" in next(iter(alarms(agent).values()))
    assert not world.proofs()


def test_a_folder_is_read_again_only_where_it_changed_and_all_of_it_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, (one, two) = Folder(INBOX, tmp_path, {}), (tmp_path / "one.json", tmp_path / "two.json")
    one.write_text("1")
    assert [file.data for file in folder.look()] == [b"1"]
    monkeypatch.setattr("zkmargin.agent.inbox.ALL_SECONDS", 1e9)
    monkeypatch.setattr("zkmargin.agent.inbox.LATELY_NS", 0)
    scans: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: scans.append("") or scandir(path))  # type: ignore[func-returns-value]
    assert not folder.look()
    assert not scans
    two.write_text("2")
    (tmp_path / ".new").write_text("one")
    (tmp_path / ".new").replace(one)  # under a name that is known
    assert sorted(file.data for file in folder.look()) == [b"2", b"one"]
    with two.open("a") as file:
        file.write("!")
    assert not folder.look()
    monkeypatch.setattr("zkmargin.agent.inbox.ALL_SECONDS", 0)
    assert [file.data for file in folder.look()] == [b"2!"]
    marks = {file.name: file.mark for file in Folder(INBOX, tmp_path, {}).look()}
    assert not Folder(INBOX, tmp_path, marks).look()


def test_what_is_half_written_is_read_when_it_is_whole_and_rubbish_gets_an_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkmargin.agent.sources.SETTLING_SECONDS", 0.2)
    monkeypatch.setattr("zkmargin.agent.agent.CHORES_SECONDS", 0.1)
    with running(world.config(trust="anyone = true")) as (agent, _):
        data = world.moved(1).to_bytes()
        (world.home / "inbox" / "a.json").write_bytes(data[:1000])
        (world.home / "inbox" / "b.json").write_text('{"format": "zkmargin/book/v1", "positions": {}}')
        until(lambda: ("file", "inbox: b.json") in alarms(agent))
        (world.home / "inbox" / "a.json").write_bytes(data)
        until(world.proofs)
        until(lambda: ("file", "inbox: a.json") not in alarms(agent))
        assert "none of a snapshot" in alarms(agent)["file", "inbox: b.json"]


# --- what is not proved -----------------------------------------------------------------------------------------------


def test_an_unhealthy_book_is_never_proved_but_an_alarm_says_what_is_missing_and_what_binds(world: World) -> None:
    poor = World(world.home / "poor", collateral="1000")
    command = poor.home / "told.sh"
    command.write_text(f'#!/bin/sh\ncat >> "{poor.home}/told"\n')
    command.chmod(0o700)
    config = poor.config(extra=["[alarms]", f'command = ["{command}"]'])
    snapshot = poor.moved(1)
    with running(config) as (agent, lines):
        poor.publish(snapshot, 1)
        until(agent.alarms.active)
        until(lambda: (poor.home / "told").exists() and (poor.home / "told").read_text().endswith("\n"))
        (alarm,) = [one for one in agent.alarms.active() if one.kind == "unhealthy"]
        report = margin_report(snapshot, poor.record)
        shortfall = from_units(report.total - report.equity.total, VALUATION_DECIMALS)
        assert alarm.facts["shortfall"] == shortfall
        assert [one["group"] for one in alarm.facts["binds"]] == [g.group for g in report.groups if g.charge]
        assert alarm.facts["binds"][0]["by"] == report.groups[0].label
        told = json.loads((poor.home / "told").read_text())
        assert (told["kind"], told["shortfall"]) == ("unhealthy", shortfall)
        assert lines.events("alarm")[0]["shortfall"] == shortfall
        assert not agent.journal.proofs()
    assert not poor.proofs()


def test_fills_move_the_commitment_when_they_are_attested_and_the_old_one_is_proved_until_then(world: World) -> None:
    fills = Fills(positions={"BTC-PERPETUAL": "3"}, collateral={"USDC": "-250"})
    with running(world.config()) as (agent, lines):
        world.publish(world.moved(1), 1)
        until(lambda: len(world.proofs()) == 1)
        world.fill("trade-1.json", fills)
        until((world.home / "updates" / "update-000001.json").exists)
        world.publish(world.moved(2), 2)
        until(lambda: len(world.proofs()) == 2)
        old = accepted(world, world.proofs()[1], *parts(world))
        world.follow(1, fills)  # the venue's own record leads to the same commitment, or this raises
        newer = world.attest()
        for number, attestation in enumerate(newer):
            world.save(f"inbox/newer-{number}.json", attestation)
        until(lambda: len(world.proofs()) == 3)
        states = [made.generations for made in agent.journal.proofs()]
        assert states == ["all 1", "all 0", "all 0"]
        lists = {path: load_document(BatchList, path).proofs[0].commitments[0] for path in world.proofs()}
        of_new = [path for path, name in lists.items() if _points(world, name) == world.commitment.parts[0].points]
        assert len(of_new) == 1
        new = accepted(world, of_new[0], *newer)
        assert new.statement_digest != old.statement_digest
        assert len(lines.events("fills-applied")) == 1
    expected = add_fills(to_lots(world.book, world.snapshot), fills_to_lots(fills, world.snapshot), world.snapshot)
    with Agent_closed(world) as journal:
        newest = journal.generations("all")[-1]
    assert to_lots(_book(newest), world.snapshot) == expected


def test_an_older_commitment_is_not_proved_where_the_book_after_fills_is_unhealthy(world: World) -> None:
    with running(world.config()) as (agent, _):
        world.publish(world.moved(1), 1)
        until(lambda: len(world.proofs()) == 1)
        world.fill("loss.json", Fills(collateral={"USDC": f"-{int(BIG) - 1000}"}))
        until((world.home / "updates" / "update-000001.json").exists)
        world.publish(world.moved(2), 2)
        until(lambda: ("unhealthy", DESK) in alarms(agent))
        assert "after the newest fills" in alarms(agent)["unhealthy", DESK]
        assert len(agent.journal.proofs()) == 1
    assert len(world.proofs()) == 1


def test_fills_of_one_name_are_applied_once_and_may_not_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.agent.sources.SETTLING_SECONDS", 0.1)
    monkeypatch.setattr("zkmargin.agent.agent.CHORES_SECONDS", 0.1)
    config = world.config()
    with running(config) as (agent, _):
        world.publish(world.moved(1), 1)
        world.fill("one.json", Fills(positions={"BTC-PERPETUAL": "1"}))
        world.fill("two.json", Fills(positions={"BTC-PERPETUAL": "1"}))  # the same trade once more is another trade
        until(lambda: agent.account.numbers()["all"] == 2)
        world.fill("one.json", Fills(positions={"BTC-PERPETUAL": "5"}))
        until(lambda: ("file", "fills all: one.json") in alarms(agent))
        world.fill("bad.json", Fills(positions={"NOBODY": "5"}))
        until(lambda: ("file", "fills all: bad.json") in alarms(agent))
        assert agent.account.numbers()["all"] == 2
    with running(config) as (agent, lines):
        until(lambda: lines.events("started"))
        assert agent.account.numbers()["all"] == 2


def test_attestations_are_announced_before_they_end_and_nothing_is_proved_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0
    for module in ("agent", "proving"):
        monkeypatch.setattr(f"zkmargin.agent.{module}.clock_ms", lambda: clock_ms() + later)
    monkeypatch.setattr("zkmargin.agent.agent.CHORES_SECONDS", 0.1)
    for attestation in world.attest(valid_seconds=1800):
        world.save(f"{attestation.payload.role}.att.json", attestation)  # type: ignore[union-attr]
    with running(world.config()) as (agent, lines):
        until(lambda: len([key for key in alarms(agent) if key[0] == "expiring"]) == 2)
        later = 3600 * 1000
        until(lambda: len([key for key in alarms(agent) if key[0] == "expired"]) == 2)
        world.publish(world.moved(1), 1)
        until(lambda: ("unattested", DESK) in alarms(agent))
        assert not agent.journal.proofs()
        for number, attestation in enumerate(world.attest()):
            world.save(f"inbox/renewed-{number}.json", attestation)
        until(lambda: len(world.proofs()) == 1)
        until(lambda: not agent.alarms.active())
        assert {line["kind"] for line in lines.events("alarm-over")} >= {"expired", "unattested"}


def test_a_challenge_is_answered_about_the_newest_snapshot(world: World) -> None:
    challenge = Challenge.new(DESK, lifetime_seconds=600, now_ms=world.now_ms)
    with running(world.config(extra=["every_snapshot = false"])) as (agent, _):
        world.save("inbox/challenge.json", challenge)
        world.save("inbox/foreign.json", Challenge.new("somebody else", lifetime_seconds=600, now_ms=world.now_ms))
        world.publish(world.moved(1), 1)
        until(world.proofs)
        accepted(world, world.proofs()[0], *parts(world), challenge=challenge)
        assert [made.challenge for made in agent.journal.proofs()] == [challenge.digest().hex()]


def test_headroom_and_silence_have_alarms(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.agent.agent.CHORES_SECONDS", 0.1)
    extra = ["[alarms]", 'headroom = "999999999"', "silence_seconds = 1"]
    with running(world.config(extra=extra)) as (agent, lines):
        world.publish(world.moved(1), 1)
        until(lambda: ("headroom", "account") in alarms(agent))
        until(lambda: ("silence", "snapshots") in alarms(agent))
        world.publish(world.moved(2), 2)
        until(lambda: [line for line in lines.events("alarm-over") if line["kind"] == "silence"])
        until(lambda: len(agent.status.headroom()) == 2)


def _so_many(world: World, count: int) -> bool:
    return len(world.proofs()) == count


def _points(world: World, name: str) -> tuple[str, ...]:
    return load_document(Commitment, world.home / "outbox" / name).parts[0].points


def _book(generation: Generation) -> Any:
    from zkmargin.engine.book import Book

    return Book.parse(generation.book)


@contextmanager
def Agent_closed(world: World) -> Iterator[Journal]:
    journal = Journal(world.home / "state", read_only=True)
    try:
        yield journal
    finally:
        journal.close()

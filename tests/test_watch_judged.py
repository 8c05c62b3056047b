"""The agent judges the book at every snapshot, for every venue; and no challenge is spent, or passes, in silence."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from support.watching import BIG, DESK, Lines, World, alarms

from zkmargin.agent import proving, standing
from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import read_config
from zkmargin.app.verifying import clock_ms
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.fills import Fills
from zkmargin.engine.margin import margin_report
from zkmargin.formats import save_document
from zkmargin.verifier.attest import Challenge

#: Nobody listens there.
SHUT = 'url = "http://127.0.0.1:9"\ntoken_file = "token"'
#: More than the book bears.
FALSE = 'claim = "65000"'
HEADROOM = ["[alarms]", 'headroom = "999999999"']


@pytest.fixture(scope="module")
def one_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), collateral=BIG)


@pytest.fixture
def world(one_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world with nothing in the agent's folders; its proofs are made of nothing, for claims that hold."""
    for name in ("state", "inbox", "outbox", "fills", "updates"):
        shutil.rmtree(one_world.home / name, ignore_errors=True)
        if name != "state":
            (one_world.home / name).mkdir()
    (one_world.home / "token").write_text("zkm_" + "A" * 43)
    (one_world.home / "token").chmod(0o600)
    monkeypatch.setattr(proving, "make_proof", lambda *_, **__: SimpleNamespace(proof=b"p" * 1000))
    return one_world


class Clock:
    """The agent's wall clock, so many seconds ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
        self.ahead = 0
        for module in modules:
            monkeypatch.setattr(f"zkmargin.agent.{module}.clock_ms", lambda: clock_ms() + 1000 * self.ahead)


def agent_of(world: World, *, venue: str | None = None, extra: Sequence[str] = (), age: int = 600) -> Agent:
    config = world.config(venue=venue, extra=extra)
    config.write_text(config.read_text().replace("max_age_seconds = 86400", f"max_age_seconds = {age}"))
    return Agent(read_config(str(config)), Log(Lines()))  # type: ignore[arg-type]


def settle(agent: Agent) -> dict[tuple[str, str], str]:
    """Deal with all that is there; the alarms after it."""
    agent.sources.look()
    while agent.turn(0.0):
        pass
    agent._chores(force=True)
    return alarms(agent)


def answers(agent: Agent, challenge: Challenge) -> list[str]:
    """The snapshots about which a challenge was answered."""
    return [made.snapshot for made in agent.journal.proofs() if made.challenge == challenge.digest().hex()]


# --- judged ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["no answer", "attestation ended", "only challenges", "no challenge at hand"])
def test_a_book_is_judged_whatever_keeps_it_from_being_proved(
    world: World, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    clock = Clock(monkeypatch, "proving")
    venue = SHUT if why in ("no answer", "no challenge at hand") else None
    seldom = ["every_snapshot = false"] if why == "only challenges" else []
    agent = agent_of(world, venue=venue, extra=[FALSE, *seldom, *HEADROOM])
    asked: list[str] = []
    if why == "no challenge at hand":
        monkeypatch.setattr(agent._submission, "challenge", asked.append)
    clock.ahead = 2 * 86_400 if why == "attestation ended" else 0
    world.publish(world.snapshot, 1)
    found = settle(agent)
    assert ("unhealthy", DESK) in found
    assert ("headroom", "account") in found
    assert (("unattested", DESK) in found) == (why == "attestation ended")
    (alarm,) = [one for one in agent.alarms.active() if one.kind == "unhealthy"]
    report = margin_report(world.snapshot, world.record)
    short = 65_000 * report.total - report.equity.total
    assert alarm.facts["shortfall"] == from_units(short, VALUATION_DECIMALS)
    assert alarm.facts["binds"][0]["by"] == report.groups[0].label
    assert "what binds: " in alarm.message
    assert len(agent.journal.headroom()) == 1
    assert agent.journal.was_unhealthy(DESK, world.snapshot.digest().hex())
    assert not agent.journal.proofs()
    assert asked == []  # no challenge is spent on a book that is not to be proved
    agent.close()


def test_a_healthy_book_that_cannot_be_proved_has_its_headroom_and_no_alarm_about_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, "proving").ahead = 2 * 86_400
    agent = agent_of(world)
    agent.alarms.sound("unhealthy", DESK, "of before")
    world.publish(world.snapshot, 1)
    assert set(settle(agent)) == {("unattested", DESK)}
    assert len(agent.journal.headroom()) == 1
    agent.close()


def test_the_attested_book_is_judged_too_and_the_alarm_says_which(world: World) -> None:
    report = margin_report(world.snapshot, world.record)
    ratio = report.equity.total // report.total + 1
    agent = agent_of(world, extra=[f'claim = "{ratio}"'])
    world.publish(world.snapshot, 1)
    assert settle(agent)["unhealthy", DESK].startswith("the claim is false: short by ")
    world.fill("more.json", Fills(collateral={"USDC": str(10 * int(BIG))}))
    assert "false for the book that is attested" in settle(agent)["unhealthy", DESK]
    assert not agent.journal.proofs()
    agent.close()


def test_each_figure_is_computed_once_a_snapshot_for_all_venues_and_the_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def run(*values: object) -> object:
            counts[" ".join([name, *[one for one in values if isinstance(one, str)]])] += 1
            return function(*values)

        return run

    for name in ("equity", "requirement_total", "margin_report"):
        monkeypatch.setattr(standing, name, counted(name, getattr(standing, name)))
    others = [f'[[venues]]\nname = "{name}"\nfolder = "outbox"' for name in ("b", "c")]
    agent = agent_of(world, extra=others)
    world.publish(world.snapshot, 1)
    assert settle(agent) == {}
    assert len(agent.journal.proofs()) == 3
    assert counts == {"equity": 1, "requirement_total initial": 1, "requirement_total maintenance": 1}
    agent.close()


def test_a_limit_that_cannot_be_judged_keeps_no_other_venue_from_its_proof(world: World) -> None:
    other = ["[[venues]]", 'name = "other"', 'folder = "outbox"']
    agent = agent_of(world, extra=['limits = ["position NOBODY <= 5"]', *other])
    world.publish(world.snapshot, 1)
    assert "NOBODY" in settle(agent)["unprovable", DESK]
    assert [made.venue for made in agent.journal.proofs()] == ["other"]
    agent.close()


# --- challenges -----------------------------------------------------------------------------------------------------


def test_after_a_restart_a_challenge_waits_for_a_snapshot_that_counts_today(world: World) -> None:
    """Not the last one of before: it may be too old, or of an oracle that is trusted no more."""
    (world.home / "state").mkdir(mode=0o700)
    save_document(world.moved(-7200), world.home / "state" / "last-snapshot.json")
    challenge = Challenge.new(DESK, lifetime_seconds=600, now_ms=clock_ms())
    world.save("inbox/challenge.json", challenge)
    agent = agent_of(world)
    agent._warm_up()
    assert settle(agent) == {}
    assert answers(agent, challenge) == []
    world.fill("one.json", Fills(collateral={"USDC": "1"}))  # the slots of the last snapshot are enough for fills
    settle(agent)
    assert agent.account.numbers() == {"all": 1}
    world.publish(world.moved(-1), 1)
    assert settle(agent) == {}
    assert answers(agent, challenge) == [world.moved(-1).digest().hex()]
    agent.close()


def test_where_the_oracle_pauses_nothing_is_proved_about_its_last_snapshot_and_the_challenge_is_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, "agent")
    agent = agent_of(world, extra=["every_snapshot = false"])
    world.publish(world.snapshot, 1)
    settle(agent)
    clock.ahead = 1200
    challenge = Challenge.new(DESK, lifetime_seconds=300, now_ms=clock_ms() + 1_200_000)
    world.save("inbox/challenge.json", challenge)
    for number, attestation in enumerate(world.attest()):
        world.save(f"inbox/newer-{number}.json", attestation)  # a reason to prove again
    assert ("late", DESK) not in settle(agent)
    assert not agent.journal.proofs()
    clock.ahead = 1600
    assert "passed unanswered" in settle(agent)["late", DESK]
    assert agent._waiting == []
    agent.sources.write_down(now_ms=clock_ms())
    assert "challenge.json" in agent.journal.files_done("inbox")
    agent.close()


def test_a_challenge_that_is_over_when_it_comes_is_an_alarm_too(world: World) -> None:
    agent = agent_of(world)
    world.save("inbox/challenge.json", Challenge.new(DESK, lifetime_seconds=1, now_ms=clock_ms() - 5000))
    assert "passed unanswered" in settle(agent)["late", DESK]
    agent.close()


def test_a_challenge_that_waits_is_answered_when_more_collateral_is_attested(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, "proving")
    clock.ahead = 2 * 86_400
    agent = agent_of(world, extra=["every_snapshot = false"])
    world.publish(world.snapshot, 1)
    challenge = Challenge.new(DESK, lifetime_seconds=600, now_ms=clock_ms())
    world.save("inbox/challenge.json", challenge)
    assert ("unattested", DESK) in settle(agent)
    for number, attestation in enumerate(world.attest(valid_seconds=3 * 86_400)):
        world.save(f"inbox/newer-{number}.json", attestation)
    assert settle(agent) == {}
    assert answers(agent, challenge) == [world.snapshot.digest().hex()]
    agent.close()


# --- silence --------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_ahead_drops_no_snapshots_in_silence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, "agent")
    clock.ahead = 1200
    agent = agent_of(world)
    world.publish(world.snapshot, 1)
    assert "check the clocks" in settle(agent)["silence", "snapshots"]
    clock.ahead = 0
    world.publish(world.moved(1), 2)
    assert ("silence", "snapshots") not in settle(agent)
    world.publish(world.moved(-1200), 3)  # an old one beside a fresh one is no reason
    assert ("silence", "snapshots") not in settle(agent)
    agent.close()


@pytest.mark.parametrize(("extra", "seconds"), [([], 600), (["[alarms]", "silence_seconds = 0"], None)])
def test_without_a_word_about_it_silence_is_an_alarm_when_nothing_can_be_proved_any_more(
    world: World, extra: list[str], seconds: int | None
) -> None:
    agent = agent_of(world, extra=extra)
    agent._last_snapshot -= 590
    assert settle(agent) == {}
    agent._last_snapshot -= 20
    expected = {} if seconds is None else {("silence", "snapshots"): f"no snapshot for more than {seconds} s"}
    assert settle(agent) == expected
    agent.close()

"""Golden documents of format version 1: read as they were written, bound as they were, refused when changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from support.golden import DOCUMENTS as FOLDER
from support.golden import SECOND, golden_module, refusal, replaced, value_of
from support.typed import Json, JsonObject, Passed

from zkmargin.accounts import Opening
from zkmargin.accounts.holder import migrate_opening
from zkmargin.accounts.updates import apply_migration, apply_update
from zkmargin.app.venue_notes import VenueSecret
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.circuits import build_circuit
from zkmargin.client import Change, Coverage, Event, Submission
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.group import encode_g1
from zkmargin.crypto.keys import PublicKey, SecretKey
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.fills import fills_to_lots
from zkmargin.engine.publishing.snapshots import build_snapshot, build_snapshot_from_arrays, check_snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, InputError, VerificationError, keccak256
from zkmargin.risk.auction import AuctionTerms
from zkmargin.risk.costs import Costs
from zkmargin.risk.rules import Derivation, Rule
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Trust
from zkmargin.verifier.chain import Table
from zkmargin.verifier.venue.customers import VenueNote, VenueRecord
from zkmargin.verifier.venue.log import VenueLog
from zkmargin.verifier.venue.terms import VenueTerms


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return golden_module()


#: keccak-256 of every golden document, name by name. A change here is a change of format version 1: there is none.
PINNED = "3deff663742d3805418453356c45b55814a840ae2777ac7783a357ac94b38927"
PINNED_SECOND = "b38f619eee2d6214628922937ac2b3ac911f9e2422fe000ecc72406f4771873f"
NAMES = sorted(path.name for path in FOLDER.glob("*.*.json"))


NAMES += sorted(SECOND + path.name for path in (FOLDER / SECOND).glob("*.*.json"))


@pytest.fixture(scope="module")
def digests() -> JsonObject:
    found: JsonObject = json.loads((FOLDER / "digests.json").read_bytes())
    second = json.loads((FOLDER / SECOND / "digests.json").read_bytes())
    return found | {SECOND + name: value for name, value in second.items()}


# Every document


@pytest.mark.parametrize(("folder", "pinned"), [(FOLDER, PINNED), (FOLDER / SECOND, PINNED_SECOND)])
def test_the_golden_documents_are_the_pinned_ones(folder: Path, pinned: str) -> None:
    listing = "".join(f"{keccak256(path.read_bytes()).hex()}  {path.name}\n" for path in sorted(folder.iterdir()))
    assert keccak256(listing.encode()).hex() == pinned, listing


def test_the_generator_makes_the_same_bytes() -> None:
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(tests.parent)}
    run = subprocess.run(
        [sys.executable, tests / "goldens.py", "documents"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_golden_folder_has_a_generator() -> None:
    goldens = import_module("goldens")
    folders = {path.parent for path in goldens.FOLDER.rglob("*") if path.is_file()}
    modules = [goldens.GENERATORS[name] for name in goldens.GENERATORS]
    made = {import_module(name).FOLDER for name in modules} | {goldens.FOLDER / "v2" / "documents"}
    text = "".join((goldens.TESTS / name).read_text() for name in goldens.BY_TESTS.values())
    left = sorted(folder.name for folder in folders - made)
    assert left == ["chain", "markets", "venue", "venue", "venue-terms"]
    assert all(f'"{name}"' in text for name in left)


def test_every_kind_of_document_has_a_golden_file(made: ModuleType) -> None:
    def all_kinds(base: type[Document]) -> Iterator[type[Document]]:
        for kind in base.__subclasses__():
            yield kind
            yield from all_kinds(kind)

    # tests/test_golden_{universe,chain}.py, tests/test_{risk,service}_documents.py, tests/test_venue_golden.py
    later = {Universe, Table, Rules, Deployment, Costs, AuctionTerms, Rule, Derivation}
    later |= {VenueTerms, VenueRecord, VenueNote, VenueSecret, VenueLog, Submission, Change, Event, Coverage}
    # an example of a docstring, run before in this process, makes documents of its own
    made_here = {kind for kind in all_kinds(Document) if kind.__module__.split(".")[0] == "zkmargin"}
    ours = {kind for kind in made_here if kind.FORMAT.startswith("zkmargin/")}
    assert ours == {*made.KINDS.values(), *later}
    assert {made.kind_of(name) for name in NAMES} == set(made.KINDS.values())
    for name, kind in made.KINDS.items():
        assert f"zkmargin/{name}/v1" in (kind.FORMAT, *kind.READS)
        formats = {value_of(file)["format"] for file in NAMES if made.kind_of(file) is kind}
        assert formats <= {kind.FORMAT, *kind.READS}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_and_written_as_it_is(made: ModuleType, digests: JsonObject, name: str) -> None:
    document = made.read(name)
    assert document.to_bytes() == (FOLDER / name).read_bytes()
    found = digests[name]
    assert (document.format, document.digest().hex()) == (found["format"], found["digest"])
    assert keccak256(document.canonical()).hex() == found["digest"]
    if isinstance(document, Attestation):
        assert document.payload_digest.hex() == found["payload"]
    if isinstance(document, Challenge):
        assert document.context.decode("ascii") == found["context"] == f"zkmargin/challenge/v1 {found['digest']}"
    if isinstance(document, PublicKey):
        assert document.fingerprint == found["fingerprint"]
    if isinstance(document, Receipt):
        assert document.payload.statement == found["statement"]
    for requirement, digest in found.get("circuits", {}).items():
        assert build_circuit(document, Claim(requirement=requirement)).digest.hex() == digest


def test_nothing_else_is_in_the_list_of_digests(digests: JsonObject) -> None:
    others = {"digests.json", "texts.json", "ledger.sql", "ledger-export.json"}
    second = {SECOND + path.name for path in (FOLDER / SECOND).iterdir() if path.name not in others}
    assert set(digests) == ({path.name for path in FOLDER.iterdir()} - others) | second
    for name in ("answer.proof", "plain.proof"):
        assert keccak256((FOLDER / name).read_bytes()).hex() == digests[name]["keccak256"]


def turned(value: Json) -> Json:
    """The same value with the keys of every object in another order."""
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_keys_does_not_matter_and_everything_else_does(
    made: ModuleType, digests: JsonObject, name: str
) -> None:
    kind, value = made.kind_of(name), value_of(name)
    assert kind.parse(json.dumps(turned(value), indent=3)).digest().hex() == digests[name]["digest"]
    form = kind.FORMAT
    assert f'is another version: this program reads "{form}"' in refusal(
        kind, value | {"format": f"{form[:-1]}9"}, name
    )
    assert f'expected "{form}"' in refusal(kind, value | {"format": "zkmargin/other/v1"}, name)
    assert 'no "format" line' in refusal(kind, {k: v for k, v in value.items() if k != "format"}, name)
    text = (FOLDER / name).read_text("utf-8")
    assert "the key appears twice" in refusal(kind, text.replace("{", '{\n "format": "x",', 1), name)
    for damaged in (text[:-3], "\ufeff" + text, f"[{text}]", text + text):
        refusal(kind, damaged, name)


def places(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Every value inside a document, by its path."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_keys_are_refused_at_every_depth(made: ModuleType, name: str) -> None:
    kind, value = made.kind_of(name), value_of(name)
    seen: set[tuple[str | int, ...]] = set()
    for path, item in places(value):
        # one of each place is enough: a list's elements are alike
        pattern = tuple("*" if isinstance(key, int) else key for key in path)
        if not isinstance(item, dict) or pattern in seen or path[:1] == ("typed_data",):
            continue  # typed data have keys of their own
        seen.add(pattern)
        refusal(kind, replaced(value, path, item | {"unknown": None}), name)
    assert "unknown: unknown key" in refusal(kind, value | {"unknown": 1}, name)


#: Hexadecimal fields of any length besides contexts: what a signer is asked is ours, and its answer is verified.
ANY_LENGTH = {"signer-request": {"message", "public_key"}, "signer-answer": {"signature"}}


@pytest.mark.parametrize("name", NAMES)
def test_29_one_text_for_one_point_key_signature_and_digest(made: ModuleType, name: str) -> None:
    """A second spelling would be a second part, signer or challenge. Refused in one line that names the field."""
    kind, value = made.kind_of(name), value_of(name)
    for path, text in places(value):
        if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{24,}", text) or path[:1] == ("typed_data",):
            continue
        field = next(str(key) for key in reversed(path) if isinstance(key, str))
        for other in (text.upper(), f" {text[1:]}", f"{text}\n", f"0x{text[2:]}", text[:-2], f"{text}00", ""):
            free = {"context"} | ANY_LENGTH.get(name.split(".")[-2], set())
            if other == text or (field in free and re.fullmatch("([0-9a-f]{2})*", other)):
                continue  # digits only
            message = refusal(kind, replaced(value, path, other), name)
            assert field in message or "not base64" in message or field == "keccak256"
            assert not kind.SECRET or len(other) < 20 or other not in message
    spelled = [path for path, text in places(value) if isinstance(text, str) and len(text) > 60 and text.isalnum()]
    assert spelled or kind.FORMAT.split("/")[1] in {"market", "policy", "book", "fills", "batch", "risk-arrays"}


# What they say together


def test_the_snapshots_follow_from_their_markets_and_policies(made: ModuleType) -> None:
    market, policy, snapshot = (made.read(f"golden.{kind}.json") for kind in ("market", "policy", "snapshot"))
    check_snapshot(snapshot, market)
    for name, of, under in (
        ("golden", market, policy),
        ("every-component", market, made.read("every-component.policy.json")),
        ("next", made.read("next.market.json"), policy),
    ):
        assert build_snapshot(of, under, version=1).to_bytes() == (FOLDER / f"{name}.snapshot.json").read_bytes()
    arrays = made.read("golden.risk-arrays.json")
    with pytest.raises(InputError, match="revalues contracts"):
        build_snapshot_from_arrays(arrays, policy)


def test_every_component_is_in_a_golden_policy(made: ModuleType) -> None:
    from zkmargin.engine.components import PolicyPart, PublishedPart, parts_of

    policy, snapshot = made.read("every-component.policy.json"), made.read("every-component.snapshot.json")
    later = {"delta_norm", "tiered_margin"}  # tests/test_delta_norm.py and tests/test_tiered_margin.py pin them
    for document, parts in ((policy, parts_of(PolicyPart)), (snapshot, parts_of(PublishedPart))):
        kinds = {kind for kind in parts if kind.model_fields["type"].default not in later}
        assert {type(part) for part in document.components} == kinds


def test_openings_open_their_commitments(made: ModuleType) -> None:
    steps = {
        "holder": ("golden.snapshot.json", "golden"),
        "updated": ("golden.snapshot.json", "updated"),
        "migrated": ("next.snapshot.json", "migrated"),
    }
    for name, (snapshot_name, public) in steps.items():
        opening: Opening = made.read(f"{name}.opening.json")
        snapshot, commitment = made.read(snapshot_name), made.read(f"{public}.commitment.json")
        lots = to_lots(made.read(f"{name}.book.json"), snapshot)
        assert opening.commitment() == commitment
        n = snapshot.layout.domain_size
        for part in opening.parts:
            column = [0] * n
            column[: len(getattr(lots, part.role))] = getattr(lots, part.role)
            (blinder,) = part.scalars()
            point = encode_g1(commit_values(embedded(), Domain.of(n), column, blinder))
            assert (point.hex(),) == part.points


def test_the_attesting_party_gets_the_golden_commitments(made: ModuleType) -> None:
    snapshot, later = made.read("golden.snapshot.json"), made.read("next.snapshot.json")
    fills = fills_to_lots(made.read("holder.fills.json"), snapshot)
    book = to_lots(made.read("holder.book.json"), snapshot)
    start, update = made.read("golden.commitment.json"), made.read("holder.update.json")
    first = apply_update(snapshot, start, book, fills, update)
    assert first.commitment == made.read("updated.commitment.json")
    assert first.book == to_lots(made.read("updated.book.json"), snapshot)
    second = apply_migration(snapshot, later, first.commitment, first.book, made.read("holder.migration.json"))
    assert second.commitment == made.read("migrated.commitment.json")
    assert second.book == to_lots(made.read("migrated.book.json"), later)
    # one byte of a secret number, or one point of it, leads elsewhere
    for name, field in (("holder.update.json", "increments"), ("holder.migration.json", "blinders")):
        value = value_of(name)
        text = value["parts"][0][field][0]
        changed = replaced(value, ("parts", 0, field, 0), text[:-1] + ("0" if text[-1] != "0" else "1"))
        bent = made.kind_of(name).parse(json.dumps(changed))

        def apply(bent: Passed = bent, field: str = field) -> None:
            if field == "increments":
                apply_update(snapshot, start, book, fills, bent)
            else:
                apply_migration(snapshot, later, first.commitment, first.book, bent)

        with pytest.raises(VerificationError, match=r"leads to another commitment|moved another book"):
            apply()
        point = replaced(value, ("parts", 0, field, 0), value["parts"][0]["after"][0])
        assert "a point where a number must be" in refusal(made.kind_of(name), point, name)


def test_a_book_that_does_not_fit_is_refused_without_its_numbers(made: ModuleType) -> None:
    snapshot = made.read("golden.snapshot.json")
    wrong = ({"positions": {"XRP": "1.23"}}, {"positions": {"ETH": "1.23456"}}, {"collateral": {"BTC": "-1.23"}})
    for changes in wrong:
        with pytest.raises(InputError) as caught:
            to_lots(Book.model_validate(changes), snapshot)
        assert "1.23" not in caught.value.message
    later, opening = made.read("next.snapshot.json"), made.read("holder.opening.json")
    lots = to_lots(made.read("holder.book.json"), snapshot)
    with pytest.raises(InputError, match="open, and not in the next snapshot"):
        migrate_opening(snapshot, later, lots, opening)


# Keys and signatures


@pytest.mark.parametrize("party", ["oracle-1", "oracle-3"])
def test_the_keys_open_with_their_passphrase(made: ModuleType, party: str) -> None:
    key, public = made.read(f"{party}.key.json"), made.read(f"{party}.public-key.json")
    assert key.public == public
    signer = key.unlock(made.PASSPHRASE)
    attestation = made.read("snapshot.attestation.json")
    # both schemes sign deterministically
    assert signer.sign(attestation.message) in attestation.signatures
    with pytest.raises(InputError, match="wrong passphrase"):
        key.unlock(made.PASSPHRASE.upper())
    value = value_of(f"{party}.key.json")
    for path in (("ciphertext",), ("nonce",), ("kdf", "salt")):
        text = str(value[path[0]] if len(path) == 1 else value[path[0]][path[1]])
        changed = replaced(value, path, ("1" if text[0] == "0" else "0") + text[1:])
        with pytest.raises(InputError, match="wrong passphrase, or the file was altered"):
            SecretKey.parse(json.dumps(changed)).unlock(made.PASSPHRASE)
    renamed = replaced(value, ("public", "name"), "oracle 9")
    with pytest.raises(InputError, match="the file was altered"):
        SecretKey.parse(json.dumps(renamed)).unlock(made.PASSPHRASE)


def test_a_proof_of_possession_is_of_its_key(made: ModuleType) -> None:
    value, trust = value_of("oracle-1.public-key.json"), made.read("golden.trust.json")
    other = next(key for key in trust.keys if key.name == "oracle 2")
    assert "not this key's" in refusal(PublicKey, value | {"possession": other.possession}, "k.json")
    assert "a bls key needs one" in refusal(PublicKey, value | {"possession": None}, "k.json")
    assert "is there twice" in refusal(
        Trust,
        replaced(value_of("golden.trust.json"), ("keys", 1), value | {"name": "oracle 2"}),
        "golden.trust.json",
    )

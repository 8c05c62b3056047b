"""Files with random damage: a document that survives its own file, or one line of InputError, and nothing else.

The mutations follow from their number alone, so that a finding can be made again: ``mutant(data, number)``.
"""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from support.typed import JsonObject

import zkmargin
from zkmargin.engine.importers import Options, import_file, json_answers, json_stream
from zkmargin.formats import Document, InputError

SAMPLES = Path(zkmargin.__file__).parent / "cli" / "samples"
DATA = Path(__file__).with_name("data")
#: Mutations of each file; ``ZKMARGIN_FULL=1`` tries more.
COUNT = 4000 if os.environ.get("ZKMARGIN_FULL") == "1" else 60
#: What real damage and hostile hands put into such files.
PIECES = (
    *(b"", b"\0", b"\xff", b"-", b"+", b".", b"e9", b"1e30", b"NaN", b"0", b"-1", b"0.5", b"9" * 40, b"00000000", b"_"),
    *(b" ", b"\n", b"\r", b"<", b">", b"</a>", b"<a/>", b"<ra>", b"</fut>", b"<cc>", b"&x;", b"<!--", b"<![CDATA[x]]>"),
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"\xed\xa0\x80", b"\\ud800", b"1.0e-400"),
)
LOTS = {"span_demo.spn": {"ALPHA": "75", "BETA": "1"}, "span_demo.pa2": {"GC": "1", "ZN": "1"}}


class Numbers:
    """Numbers from a hash: the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def below(self, limit: int) -> int:
        self._count += 1
        digest = hashlib.sha256(f"{self._seed}.{self._count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit


def mutant(data: bytes, number: int) -> bytes:
    """The data with one to three pieces of damage."""
    pick, damaged = Numbers(number), bytearray(data)
    for _ in range(1 + pick.below(3)):
        at = pick.below(len(damaged) + 1)
        match pick.below(7):
            case 0:  # a piece put in
                damaged[at:at] = PIECES[pick.below(len(PIECES))]
            case 1:  # a piece in place of something
                damaged[at : at + 1 + pick.below(8)] = PIECES[pick.below(len(PIECES))]
            case 2:  # bytes lost
                del damaged[at : at + 1 + pick.below(40)]
            case 3:  # a part twice
                damaged[at:at] = damaged[at : at + 1 + pick.below(400)]
            case 4:  # a bit
                if at < len(damaged):
                    damaged[at] ^= 1 << pick.below(8)
            case 5:  # a text in another place
                start, length = pick.below(len(damaged) + 1), 1 + pick.below(60)
                damaged[at:at] = damaged[start : start + length]
            case _:  # what stands between two tags or blanks, replaced
                left, right = damaged.rfind(b">", 0, at), damaged.find(b"<", at)
                if 0 <= left < right:
                    damaged[left + 1 : right] = PIECES[pick.below(len(PIECES))]
    return bytes(damaged)


def files() -> dict[str, tuple[str, JsonObject]]:
    return {
        "span_demo.spn": ("span-xml", {"lots": LOTS["span_demo.spn"]}),
        "span_demo.pa2": ("span-pa2", {"lots": LOTS["span_demo.pa2"]}),
        "market_demo.csv": ("csv", {}),
        **{path.name: (path.name.partition(".")[0], {}) for path in sorted((DATA / "venues").glob("*.jsonl"))},
        "tardis-csv.csv": ("tardis-csv", {"indices": {"BTC": "85000.5"}}),
    }


def source(name: str) -> bytes:
    path = SAMPLES / name
    return (path if path.exists() else DATA / "venues" / name).read_bytes()


@pytest.mark.parametrize("name", files())
def test_f1_no_damage_lets_anything_but_an_input_error_out(name: str, tmp_path: Path) -> None:
    form, options = files()[name]
    data, path = source(name), tmp_path / "damaged"
    accepted = 0
    for number in range(COUNT):
        path.write_bytes(mutant(data, number))
        for format_name in (form, "auto")[: 1 + (number % 4 == 0)]:
            try:
                document = import_file(path, format_name, Options(**options)).document
            except InputError as error:
                assert "\n" not in str(error), number  # noqa: PT017 - either outcome is fine
            except Exception as error:
                raise AssertionError(f"mutation {number} of {name}: {error!r}") from error
            else:
                accepted += 1
                assert type(document).parse(document.to_bytes()) == document, number
    assert 0 < accepted < COUNT


@pytest.mark.parametrize("venue", ["binance", "bybit", "derive", "okx", "paradex"])
def test_f1_a_document_read_token_by_token_is_refused_where_it_is_when_held(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, path = b"[" + b",".join(source(f"{venue}.jsonl").splitlines()) + b"]", tmp_path / "damaged.json"

    def outcome() -> Document | None:
        try:
            return import_file(path, venue, Options(at="latest")).document
        except InputError:
            return None

    accepted = 0
    for number in range(COUNT):
        path.write_bytes(mutant(data, number))
        monkeypatch.setattr(json_answers, "WHOLE_BYTES", 1 << 22)
        held = outcome()
        monkeypatch.setattr(json_answers, "WHOLE_BYTES", 10)
        monkeypatch.setattr(json_stream, "LARGE", 40)
        assert outcome() == held or b"\\ud8" in path.read_bytes(), number  # half a pair becomes a question mark
        accepted += held is not None
    assert 0 < accepted < COUNT


def test_mutations_follow_from_their_number() -> None:
    data = (SAMPLES / "span_demo.pa2").read_bytes()
    assert len({mutant(data, number) for number in range(50)}) > 45
    assert hashlib.sha256(mutant(data, 7)).hexdigest() == hashlib.sha256(mutant(bytes(data), 7)).hexdigest()


#: What a hostile SPAN file repeats without end: things that mean nothing here, and things that do.
FLOODS = {
    "unknown elements": (b"<junk><a>1</a><b>xxxxxxxxxxxxxxxxxxxxxxxx</b></junk>", None),
    "definitions": (b"<currencyDef><currency>INR</currency><name>xxxxxxxxxxxxxxxx</name></currencyDef>", None),
    "unread portfolios": (b"<cmbPf><pfId>1</pfId><cmb><a>1</a></cmb></cmbPf>", None),
    "commodities of no use": (b"", None),
    "dates": (b"<date>20260625</date>", "open at once"),
    "links": (b"<pfLink><exch>X</exch></pfLink>", "open at once"),
    "long texts": (b"<date>" + b"1" * 4000 + b"</date>", "open at once"),
    "wanted elements in no place": (b"<series><pe>1</pe></series>", "open at once"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_f2_what_a_file_repeats_without_end_is_not_held(tmp_path: Path, name: str) -> None:
    piece, reason = FLOODS[name]
    text = source("span_demo.spn")
    if name == "commodities of no use":
        piece = b"<ccDef><cc>N%d</cc><currency>INR</currency>" + b"<pfLink><exch>X</exch></pfLink>" * 200 + b"</ccDef>"
    head, rest = text.split(b"<clearingOrg>", 1)
    # its own element: more of what is wanted in one that is kept open
    count = max(4_000_000 // len(piece), 5000) if reason else 2_000_000 // len(piece)
    flood = b"".join(piece % n if b"%d" in piece else piece for n in range(count))
    path = tmp_path / "flood.spn"
    path.write_bytes(head + flood + b"<clearingOrg>" + rest)
    tracemalloc.start()
    try:
        if reason is None:
            found = import_file(path, "span-xml", Options(lots={"ALPHA": "75"})).document
            assert len(found.instruments) > 1
        else:
            with pytest.raises(InputError, match=reason):
                import_file(path, "span-xml", Options(lots={"ALPHA": "75"}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # what is held has a bound of its own, far below that of a file that repeats for longer
    assert peak < (20 << 20 if reason else 4 << 20), peak


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("P DMX{n:010d}FUT               001000  00001000000000          USD", "records of type P"),
        ("B DMX{n:010d}FUT202512                                     ", None),
        ("2 DMX {n:06d}0USD P    X         FUT0", "combined commodities"),
        ("1 {n:03d}", None),
        ("6    {m:04d}0010000    AB    0010000A    CD    0010000B", None),
    ],
)
def test_f2_records_without_end_are_not_held(tmp_path: Path, record: str, reason: str | None) -> None:
    lines = source("span_demo.pa2").splitlines()
    at = max(n for n, line in enumerate(lines) if line.startswith(b"2 ")) + 1
    flood = [record.format(n=n, m=n % 10_000).encode() for n in range(70_000)]
    path = tmp_path / "flood.pa2"
    path.write_bytes(b"\r\n".join([*lines[:at], *flood, *lines[at:]]) + b"\r\n")
    lots = {"GC": "1"}
    if reason is not None:
        with pytest.raises(InputError, match=reason):
            import_file(path, "span-pa2", Options(lots=lots))
        return
    tracemalloc.start()
    try:
        found = import_file(path, "span-pa2", Options(lots=lots)).document
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expected = import_file(SAMPLES / "span_demo.pa2", "span-pa2", Options(lots=lots)).document
    assert found.instruments == expected.instruments
    assert peak < 4 << 20, peak


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b'<?xml version="1.0" encoding="koi8-r"?>', "its encoding is koi8-r"),
        (b'<?xml version="1.0" encoding="utf-7"?>', "its encoding is utf-7"),
        (b'<?xml version="1.0" encoding="no-such"?>', "its encoding is no-such"),
        (b'<?xml version="1.0" encoding="utf-16"?>', "its encoding is utf-16"),
        (b"\xff\xfe<\0", "UTF-16"),
        (b'<?xml version="1.0"' + b" " * 200 + b'encoding="utf-8"?>', "it says its encoding after 200 bytes"),
    ],
)
def test_f3_encodings_that_are_not_read_are_refused(tmp_path: Path, head: bytes, reason: str) -> None:
    path = tmp_path / "f.spn"
    path.write_bytes(head + source("span_demo.spn"))
    with pytest.raises(InputError, match=reason):
        import_file(path, "span-xml", Options(lots={"ALPHA": "75"}))


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_f3_undeclared_letters_are_refused(tmp_path: Path, encoding: str) -> None:
    text = source("span_demo.spn").decode("latin-1").replace("<cc>ALPHA<", "<cc>ALPHÅ<")
    path = tmp_path / "f.spn"
    path.write_bytes((f'<?xml version="1.0" encoding="{encoding}"?>' + text).encode(encoding))
    found = import_file(path, "span-xml", Options(lots={"ALPHÅ": "75"})).document
    assert found.instruments[0].underlying == "ALPH_C5"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match="the file does not say its encoding"):
        import_file(path, "span-xml", Options(lots={"ALPHÅ": "75"}))

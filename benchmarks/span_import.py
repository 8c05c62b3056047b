"""Importing SPAN XML: time and memory by size of the file. Both should follow from the sizes: linear, and constant.

The files are synthetic, in the shape of NSE Clearing's: 200 underlyings, each a portfolio of futures and one of options
with a calendar of expiries and strikes, 16 values and a composite delta a contract. One underlying is imported, and the
whole file is read for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Column, Section, in_child, once, peak_bytes

COLUMNS = (
    Column("file"),
    Column("size", "B"),
    Column("contracts imported"),
    Column("time", "s"),
    Column("time a byte", "s"),
    Column("peak memory", "B"),
    Column("above importing nothing", "B"),
)
UNDERLYINGS = 200
SIZES = {
    "small": 16_000_000,
    "50 MB": 50_000_000,
    "as NSE's, 65 MB": 65_000_000,
    "100 MB": 100_000_000,
    "200 MB": 200_000_000,
}


def table(*, quick: bool) -> Section:
    """The table, each file in a child process of its own."""
    rows = []
    idle = in_child("span_import", "idle")
    with tempfile.TemporaryDirectory() as folder:
        for name, size in list(SIZES.items())[: 1 if quick else None]:
            path = str(Path(folder) / "file.spn")
            in_child("span_import", "write", path=path, size=size // 8 if quick else size)
            found = in_child("span_import", "read", path=path)
            rows.append(
                [
                    name,
                    found["size"],
                    found["contracts"],
                    found["time"],
                    found["time"] / found["size"],
                    found["peak"],
                    found["peak"] - idle,
                ]
            )
    notes = [f"A process that imports the same modules and reads nothing holds {idle / 1e6:.0f} MB."]
    return Section("Importing SPAN XML", COLUMNS, rows, notes)


# In child processes.


def write(path: str, size: int) -> None:
    """A file of about that size."""
    strikes = max(1, size // (UNDERLYINGS * 8 * 2 * 310))
    with Path(path).open("w", encoding="ascii") as file:
        file.write(
            "<spanFile><fileFormat>4.00</fileFormat><created>202606242149</created><pointInTime><date>20260625</date>"
            "<clearingOrg><ec>NSCCL</ec>\n"
        )
        for u in range(UNDERLYINGS):
            name = f"U{u:03d}"
            links = "".join(
                f"<pfLink><exch>NSE</exch><pfId>{u}</pfId><pfCode>{name}</pfCode><pfType>{kind}</pfType></pfLink>"
                for kind in ("FUT", "OOP")
            )
            file.write(f"<ccDef><cc>{name}</cc><currency>INR</currency><riskExponent>0</riskExponent>{links}</ccDef>\n")
        file.write("<exchange><exch>NSE</exch>\n")
        for u in range(UNDERLYINGS):
            file.write(f"<futPf><pfId>{u}</pfId><pfCode>U{u:03d}</pfCode>\n")
            for month in range(1, 4):
                future = _array([0, 0, -30, -30, 30, 30, -60, -60, 60, 60, -90, -90, 90, 90, -63, 63], 1)
                file.write(f"<fut><cId>{month}</cId><pe>20260{month + 5}25</pe><p>1000.00</p>{future}</fut>\n")
            file.write("</futPf>\n")
        for u in range(UNDERLYINGS):
            file.write(f"<oopPf><pfId>{u}</pfId><pfCode>U{u:03d}</pfCode><valueMeth>EQTY</valueMeth>\n")
            for month in range(8):
                file.write(f"<series><pe>2026{month + 5:02d}25</pe><v>0.2</v>\n")
                for k in range(strikes):
                    for right in "CP":
                        array = _array([(k * 7 + s * 13) % 90 - 45 for s in range(16)], 0.5)
                        file.write(
                            f"<opt><cId>{k}</cId><o>{right}</o><k>{800 + k}</k><p>12.35</p><pq>0</pq><d>0</d>"
                            f"<v>0.21</v><val>12.35</val>{array}</opt>\n"
                        )
                file.write("</series>\n")
            file.write("</oopPf>\n")
        file.write("</exchange></clearingOrg></pointInTime></spanFile>\n")


def _array(losses: list[int], delta: float) -> str:
    return "<ra><r>1</r>" + "".join(f"<a>{loss}.25</a>" for loss in losses) + f"<d>{delta}</d></ra>"


def read(path: str) -> dict[str, Any]:
    """Import one underlying."""
    from zkmargin.engine.importers import import_arrays  # noqa: PLC0415

    arrays, time = once(lambda: import_arrays(path, "span-xml", lots={"U007": "75"}))
    return {
        "size": Path(path).stat().st_size,
        "contracts": len(arrays.instruments),
        "time": time,
        "peak": peak_bytes(),
    }


def idle() -> int:
    """What the modules alone take."""
    import zkmargin.engine.importers  # noqa: F401, PLC0415

    return peak_bytes()

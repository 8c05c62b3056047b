"""The statement as a circom program, over circomlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.peers.statement import BLINDER, COLLATERAL_BITS, DIFFERENCE_BITS, SIDE_BITS, Instance

#: Positions in a field element, and elements that a permutation takes: Poseidon of circomlib has at most 16 inputs.
PACKED, RATE = 7, 16
PROGRAM = """\
pragma circom 2.2.0;
include "bitify.circom";
include "poseidon.circom";

// Seven positions of {width} bits with their sign to a field element, {rate} elements to a permutation, whose first
// element is what the one before gave.
template Commit(slots, elements) {{
    signal input held[slots], collateral, blinder;
    signal output digest;
    var packed[elements];
    for (var i = 0; i < slots; i++) {{
        packed[i \\ {in_element}] = packed[i \\ {in_element}] * (1 << {width}) + held[i] + (1 << {side});
    }}
    packed[elements - 2] = collateral;
    packed[elements - 1] = blinder;
    var rounds = elements \\ {rate};
    component permutation[rounds];
    for (var r = 0; r < rounds; r++) {{
        permutation[r] = PoseidonEx({rate}, 1);
        permutation[r].initialState <== r == 0 ? elements : permutation[r - 1].out[0];
        for (var j = 0; j < {rate}; j++) {{
            permutation[r].inputs[j] <== packed[{rate} * r + j];
        }}
    }}
    digest <== permutation[rounds - 1].out[0];
}}

template Margin(slots, rows, gains, charges, price) {{
    signal input long[slots], short[slots], collateral, blinder;
    signal output commitment;
    signal held[slots], difference[rows];
    for (var i = 0; i < slots; i++) {{
        _ <== Num2Bits({side})(long[i]);
        _ <== Num2Bits({side})(short[i]);
        held[i] <== long[i] - short[i];
    }}
    _ <== Num2Bits({collateral})(collateral);
    for (var s = 0; s < rows; s++) {{
        var sum = collateral * price;
        for (var i = 0; i < slots; i += 32) {{ // the compiler copies a sum whenever it grows: short ones
            var part = 0;
            for (var j = i; j < i + 32 && j < slots; j++) {{
                part += gains[s][j] * held[j];
            }}
            sum += part;
        }}
        if (s == rows - 1) {{
            for (var i = 0; i < slots; i++) {{
                sum -= charges[i] * short[i];
            }}
        }}
        difference[s] <== sum;
        _ <== Num2Bits({bits})(difference[s]);
    }}
    commitment <== Commit(slots, {elements})(held, collateral, blinder);
}}

component main = Margin({slots}, {rows}, [
{gains}
],
[{charges}],
{price});
"""


def write(instance: Instance, folder: Path) -> None:
    """The program and its inputs."""
    elements = -(-instance.slots // PACKED) + 2
    text = PROGRAM.format(
        slots=instance.slots,
        rows=len(instance.gains),
        gains=",\n".join(f"[{','.join(map(str, row))}]" for row in instance.gains),
        charges=",".join(map(str, instance.charges)),
        price=instance.price,
        elements=-(-elements // RATE) * RATE,
        rate=RATE,
        in_element=PACKED,
        width=SIDE_BITS + 2,
        side=SIDE_BITS,
        collateral=COLLATERAL_BITS,
        bits=DIFFERENCE_BITS,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "margin.circom").write_text(text, "utf-8")
    inputs: dict[str, Any] = {
        "long": instance.long,
        "short": instance.short,
        "collateral": str(instance.collateral),
        "blinder": str(BLINDER),
    }
    (folder / "inputs.json").write_text(json.dumps(inputs), "utf-8")

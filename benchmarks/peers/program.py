"""The statement as a Noir program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.peers.statement import BLINDER, DIFFERENCE_BITS, SIDE_BITS, Instance

MANIFEST = '[package]\nname = "margin"\ntype = "bin"\nauthors = [""]\n[dependencies]\n'
PROGRAM = """\
global GAINS: [[Field; {slots}]; {rows}] = [
{gains}
];
global CHARGES: [Field; {slots}] = [{charges}];

// Seven positions of 34 bits with their sign to a field element, three elements to a permutation.
fn commit(held: [Field; {slots}], collateral: Field, blinder: Field) -> Field {{
    let mut packed: [Field; {packed}] = [0; {packed}];
    for i in 0..{slots} {{
        let place = i / 7;
        packed[place] = packed[place] * {shift} + (held[i] + {offset});
    }}
    packed[{packed} - 2] = collateral;
    packed[{packed} - 1] = blinder;
    let mut state: [Field; 4] = [0, 0, 0, {packed}];
    for i in 0..{packed} / 3 {{
        for j in 0..3 {{
            state[j] += packed[3 * i + j];
        }}
        state = std::hash::poseidon2_permutation(state);
    }}
    state[0]
}}

fn main(long: [u32; {slots}], short: [u32; {slots}], collateral: u64, blinder: Field) -> pub Field {{
    let mut held: [Field; {slots}] = [0; {slots}];
    for i in 0..{slots} {{
        held[i] = long[i] as Field - short[i] as Field;
    }}
    for s in 0..{rows} {{
        let mut difference = collateral as Field * {price};
        for i in 0..{slots} {{
            difference += GAINS[s][i] * held[i];
        }}
        if s == {rows} - 1 {{
            for i in 0..{slots} {{
                difference -= CHARGES[i] * short[i] as Field;
            }}
        }}
        difference.assert_max_bit_size::<{bits}>();
    }}
    commit(held, collateral as Field, blinder)
}}
"""


def write(instance: Instance, folder: Path) -> None:
    """The program and its inputs."""
    elements = -(-instance.slots // 7) + 2
    text = PROGRAM.format(
        slots=instance.slots,
        rows=len(instance.gains),
        gains=",\n".join("[" + ",".join(map(str, row)) + "]" for row in instance.gains),
        charges=",".join(map(str, instance.charges)),
        packed=-(-elements // 3) * 3,
        shift=1 << (SIDE_BITS + 2),
        offset=1 << SIDE_BITS,
        price=instance.price,
        bits=DIFFERENCE_BITS,
    )
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "main.nr").write_text(text, "utf-8")
    (folder / "Nargo.toml").write_text(MANIFEST, "utf-8")
    inputs: dict[str, Any] = {
        "long": instance.long,
        "short": instance.short,
        "collateral": str(instance.collateral),
        "blinder": hex(BLINDER),
    }
    (folder / "inputs.json").write_text(json.dumps(inputs), "utf-8")

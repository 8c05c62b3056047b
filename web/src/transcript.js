// The transcript: docs/protocol.md, section 4, "in bytes".
import { r } from "./circuit.js";
import { bigEndian, concat, keccak256, toInteger, utf8 } from "./bytes.js";

export class Transcript {
  constructor() {
    this.state = new Uint8Array(32);
    this.absorb("protocol", utf8("zkmargin/margin-argument/v1"));
  }

  absorb(label, data) {
    const name = utf8(label);
    this.state = keccak256(
      concat(this.state, Uint8Array.of(1), bigEndian(name.length, 4), name, bigEndian(data.length, 8), data),
    );
  }

  challenge(label, bad = () => false) {
    const name = utf8(label);
    for (let counter = 0; ; counter++) {
      const tail = concat(bigEndian(name.length, 4), name, bigEndian(counter, 4));
      const half = (end) => keccak256(concat(this.state, Uint8Array.of(2), tail, Uint8Array.of(end)));
      const x = toInteger(concat(half(0), half(1))) % r;
      if (x !== 0n && !bad(x)) {
        this.state = keccak256(concat(this.state, Uint8Array.of(3), tail));
        return x;
      }
    }
  }
}

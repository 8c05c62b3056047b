// BLS12-381 by @noble/curves, with every decoding made strict by us: its Fr.fromBytes reduces, its G1 takes infinity.
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { r } from "./circuit.js";
import { fromHex, toInteger } from "./bytes.js";
import { require } from "./rejected.js";
import { SETUP } from "./setup.js";

export const G1 = bls12_381.G1.Point;
export const G2 = bls12_381.G2.Point;
const P = bls12_381.fields.Fp.ORDER;

/** A point of the prime-order subgroup, from its one encoding of 48 bytes; never infinity. */
export function point(data, name) {
  require(data.length === 48 && data[0] >> 7 === 1, `${name}: not a compressed point`);
  require(!(data[0] & 0x40), `${name}: the point at infinity`);
  const x = toInteger(data) & ((1n << 381n) - 1n);
  require(x < P, `${name}: a coordinate that is not canonical`);
  try {
    return G1.fromBytes(data); // checks the curve and the subgroup; our vectors say so for the pinned version
  } catch {
    return require(false, `${name}: not on the curve, or not in the subgroup`);
  }
}

/** A scalar below r, from 32 bytes. */
export function scalar(data, name) {
  const x = toInteger(data);
  require(data.length === 32 && x < r, `${name}: not canonical`);
  return x;
}

/** The setup's [tau]_2. */
export const tauG2 = () => G2.fromAffine({ x: { c0: SETUP.tau[0], c1: SETUP.tau[1] }, y: { c0: SETUP.tau[2], c1: SETUP.tau[3] } });
export const setupDigest = fromHex(SETUP.digest, "setup");

/** The sum of scalar times point; scalars of any size and sign. */
export function combine(terms) {
  const kept = terms.map(([x, at]) => [((x % r) + r) % r, at]).filter(([x]) => x !== 0n);
  if (!kept.length) return G1.ZERO;
  return msm(kept.map(([, at]) => at), kept.map(([x]) => x));
}

/** Straus: 4-bit windows, doublings shared by all points. */
function msm(points, scalars) {
  const tables = points.map((at) => {
    const table = [G1.ZERO, at];
    for (let i = 2; i < 16; i++) table.push(table[i - 1].add(at));
    return table;
  });
  let total = G1.ZERO;
  for (let window = 63; window >= 0; window--) {
    for (let i = 0; i < 4; i++) total = total.double();
    for (let i = 0; i < points.length; i++) {
      const digit = Number((scalars[i] >> BigInt(4 * window)) & 15n);
      if (digit) total = total.add(tables[i][digit]);
    }
  }
  return total;
}

/** Whether e(left, [tau]_2) = e(right, [1]_2). */
export function pairingHolds(left, right) {
  const pairs = [
    { g1: left, g2: tauG2() },
    { g1: right.negate(), g2: G2.BASE },
  ].filter(({ g1 }) => !g1.is0());
  const { Fp12 } = bls12_381.fields;
  return Fp12.eql(bls12_381.pairingBatch(pairs, true), Fp12.ONE);
}

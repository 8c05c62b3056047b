// node powers.mjs FILE POWER: prepared powers of tau (.ptau) of numbers that everybody knows, UNSAFE but for measuring.
// The scalars are known, so each point is one product of the generator; snarkjs's own `prepare phase2`, which must not
// know them, takes an hour and more at 2^17. Only what a set-up at exactly this power reads is filled in, by a process each.
import { fork } from "node:child_process";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { getCurveFromName } = createRequire(createRequire(import.meta.url).resolve("snarkjs"))("ffjavascript");
const [TAU, ALPHA, BETA, WINDOW] = [2n, 3n, 5n, 10];
const curve = await getCurveFromName("bn128", { singleThread: true });
const { r, q, Fr } = curve;

const product = (a, b) => (a * b) % r;
const raised = (base, exponent) => {
  let result = 1n;
  for (let e = exponent; e; e >>= 1n, base = product(base, base)) if (e & 1n) result = product(result, base);
  return result;
};

/** Lagrange's polynomials over the roots of unity of order 2^level, at tau: (tau^n - 1) / n * w^i / (tau - w^i). */
function lagrange(level) {
  const [n, root] = [1 << level, Fr.toObject(Fr.w[level])];
  const [roots, before] = [new Array(n), new Array(n)];
  let [running, at] = [1n, 1n];
  for (let i = 0; i < n; i++, at = product(at, root)) {
    [roots[i], before[i]] = [at, running];
    running = product(running, TAU + r - at);
  }
  let inverse = raised(running, r - 2n);
  const factor = product(raised(TAU, BigInt(n)) + r - 1n, raised(BigInt(n), r - 2n));
  for (let i = n - 1; i >= 0; i--) {
    const differenceInverse = product(inverse, before[i]);
    inverse = product(inverse, TAU + r - roots[i]);
    roots[i] = product(product(factor, roots[i]), differenceInverse);
  }
  return roots;
}

/** Products of a group's generator, affine as the file has them: one addition from a table for each 10 bits. */
async function multiplier(group, prefix) {
  const [{ tm }, size] = [group, group.F.n8];
  const [sum, term] = [tm.alloc(3 * size), tm.alloc(2 * size)];
  const [zero, add] = [tm.instance.exports[`${prefix}_zero`], tm.instance.exports[`${prefix}_addMixed`]];
  const [windows, entries] = [Math.ceil(254 / WINDOW), 1 << WINDOW];
  const rows = new Uint8Array(windows * entries * 3 * size);
  let base = group.gAffine;
  for (let w = 0; w < windows; w++) {
    zero(sum);
    tm.setBuff(term, base);
    for (let i = 0; i < entries; i++, add(sum, term, sum)) rows.set(tm.getBuff(sum, 3 * size), (w * entries + i) * 3 * size);
    base = group.toAffine(tm.getBuff(sum, 3 * size));
  }
  const table = await group.batchToAffine(rows);
  return async (scalars) => {
    const points = new Uint8Array(scalars.length * 3 * size);
    scalars.forEach((scalar, k) => {
      zero(sum);
      for (let w = 0; scalar; w++, scalar >>= BigInt(WINDOW)) {
        const place = (w * entries + Number(scalar & BigInt(entries - 1))) * 2 * size;
        tm.setBuff(term, table.subarray(place, place + 2 * size));
        add(sum, term, sum);
      }
      points.set(tm.getBuff(sum, 3 * size), k * 3 * size);
    });
    return group.batchToAffine(points);
  };
}

/** The scalars of a part of a section. */
function scalarsOf({ kind, power, from, to }) {
  if (Array.isArray(kind)) return kind;
  const n = 1 << power;
  if (kind === "tau") {
    const powers = [1n];
    while (powers.length < to) powers.push(product(TAU, powers.at(-1)));
    return powers;
  }
  if (kind === "odd") return lagrange(power + 1).map((x, i) => (i & 1 ? x : 0n)); // a set-up reads every other one
  return lagrange(power).slice(from ?? 0, to ?? n).map((x) => product(kind, x));
}

const work = async (part) =>
  (await multiplier(part.group === 1 ? curve.G1 : curve.G2, `g${part.group}m`))(scalarsOf(part));

/** The part's points, by a process of its own. */
const points = (part) =>
  new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), { serialization: "advanced" });
    child.once("message", resolve);
    child.once("exit", () => reject(new Error("a process that makes points has ended")));
    child.send(part);
  });

async function main(file, power) {
  const n = 1 << power;
  const header = Buffer.alloc(44);
  header.writeUInt32LE(32, 0);
  for (let i = 0; i < 32; i++) header[4 + i] = Number((q >> BigInt(8 * i)) & 255n);
  header.writeUInt32LE(power, 36);
  header.writeUInt32LE(power, 40);
  const half = n / 2;
  // number of the section: points (or bytes) in all, bytes of one, what is filled in from which place on
  const sections = [
    [1, 44, 1, [[0, header]]],
    [2, 2 * n - 1, 64, [[0, { group: 1, kind: "tau", to: Math.min(n + 6, 2 * n - 1) }]]],
    [3, n, 128, [[0, { group: 2, kind: [1n, TAU] }]]],
    [4, n, 64, [[0, { group: 1, kind: [ALPHA] }]]],
    [5, n, 64, [[0, { group: 1, kind: [BETA] }]]],
    [6, 1, 128, [[0, { group: 2, kind: [BETA] }]]],
    [7, 4, 1, [[0, Buffer.alloc(4)]]],
    [12, 4 * n - 1, 64, [[n - 1, { group: 1, kind: 1n }], [2 * n - 1, { group: 1, kind: "odd" }]]],
    [13, 2 * n - 1, 128, [[n - 1, { group: 2, kind: 1n, to: half }], [n - 1 + half, { group: 2, kind: 1n, from: half }]]],
    [14, 2 * n - 1, 64, [[n - 1, { group: 1, kind: ALPHA }]]],
    [15, 2 * n - 1, 64, [[n - 1, { group: 1, kind: BETA }]]],
  ];
  const filled = await Promise.all(
    sections.map(([, , , parts]) =>
      Promise.all(parts.map(([, part]) => (Buffer.isBuffer(part) ? part : points({ power, ...part })))),
    ),
  );
  const output = openSync(file, "w");
  const start = Buffer.from("ptau\x01\0\0\0\0\0\0\0", "latin1");
  start.writeUInt32LE(sections.length, 8);
  let place = writeSync(output, start);
  sections.forEach(([number, count, size, parts], s) => {
    const head = Buffer.alloc(12);
    head.writeUInt32LE(number, 0);
    head.writeBigUInt64LE(BigInt(count * size), 4);
    place += writeSync(output, head, 0, 12, place);
    parts.forEach(([at], k) => writeSync(output, filled[s][k], 0, filled[s][k].length, place + at * size));
    place += count * size;
  });
  ftruncateSync(output, place);
  closeSync(output);
}

if (process.argv.length > 2) {
  await main(process.argv[2], Number(process.argv[3]));
  process.exit(0);
}
process.once("message", async (part) => process.send(await work(part), () => process.exit(0)));

// The check of a proof: docs/protocol.md, section 4; the proof's bytes: docs/formats.md; public values: docs/circuit.md, 5.
import { MATRICES, r } from "./circuit.js";
import { bigEndian, concat, same, utf8 } from "./bytes.js";
import { combine, G1, pairingHolds, point, scalar, setupDigest } from "./group.js";
import { mod } from "./rational.js";
import { require } from "./rejected.js";
import { SETUP } from "./setup.js";
import { Transcript } from "./transcript.js";

export function power(base, exponent) {
  let [result, square, left] = [1n, mod(base, r), exponent];
  for (; left; left >>= 1n) {
    if (left & 1n) result = (result * square) % r;
    square = (square * square) % r;
  }
  return result;
}

/** All inverses for the price of one. None of the values is 0. */
function inverses(values) {
  const before = [];
  let product = 1n;
  for (const x of values) {
    before.push(product);
    product = (product * x) % r;
  }
  let inverse = power(product, r - 2n);
  const found = new Array(values.length);
  for (let i = values.length - 1; i >= 0; i--) {
    found[i] = (inverse * before[i]) % r;
    inverse = (inverse * values[i]) % r;
  }
  return found;
}

/** The weight of each atom, and sigma. */
function weightsOf(circuit, rho) {
  const weights = new Map();
  let sigma = 0n;
  let step = 1n;
  for (const { form } of circuit.equations) {
    for (const [atom, c] of form.terms) weights.set(atom, mod((weights.get(atom) ?? 0n) + step * c, r));
    sigma = mod(sigma - step * form.constant, r);
    step = (step * rho) % r;
  }
  return { weights, sigma };
}

/** Every U at zeta, by column name. */
function publicValues(circuit, weights, lagrange) {
  const { n, D } = circuit;
  const U = new Map();
  const weight = (atom) => weights.get(atom) ?? 0n;
  const add = (name, value) => U.set(name, mod((U.get(name) ?? 0n) + value, r));
  const inSegment = (i) => Math.floor(i / (n - 1));
  for (const kind of MATRICES) {
    const rows = circuit.rows[kind];
    const weightsOfRows = rows.map((_, t) => weight(`${kind} ${t}`));
    for (let s = 0; s < circuit.segments("positions"); s++) {
      let value = 0n;
      for (let i = s * (n - 1); i < Math.min((s + 1) * (n - 1), circuit.slots); i++) {
        let coefficient = 0n;
        for (let t = 0; t < rows.length; t++) if (rows[t][i]) coefficient += rows[t][i] * weightsOfRows[t];
        value += mod(coefficient, r) * lagrange[i - s * (n - 1)];
      }
      if (kind === "positions") add(`positions[${s}]`, value);
      else for (let d = 0; d < D; d++) add(`f[${2 * D * s + (kind === "short" ? D : 0) + d}]`, BigInt(n) ** BigInt(d) * value);
    }
  }
  circuit.assets.forEach((_, j) => add(`collateral[${inSegment(j)}]`, weight(`collateral ${j}`) * lagrange[j % (n - 1)]));
  let cell = 0;
  circuit.integers.forEach(({ digits }, v) => {
    for (let d = 0; d < digits; d++, cell++) {
      const value = BigInt(n) ** BigInt(d) * weight(`bounded ${v}`) * lagrange[cell % n];
      add(`f[${circuit.packed + Math.floor(cell / n)}]`, value);
    }
  });
  circuit.gates.forEach((_, g) => "ABC".split("").forEach((wire) => add(wire, weight(`${wire} ${g}`) * lagrange[g])));
  return (name) => U.get(name) ?? 0n;
}

/** How many elements of each kind a proof of the circuit has, and how many bytes. */
export function shapeOf(circuit) {
  const c = circuit.columns;
  const groups = Array.from({ length: Math.ceil(c / 3) }, (_, g) => Array.from({ length: Math.min(3, c - 3 * g) }, (_x, i) => 3 * g + i));
  const pieces = Math.min(c, 3);
  const wires = circuit.gates.length ? ["A", "B", "C"] : [];
  const points = c + 1 + wires.length + groups.length + 1 + pieces + 2;
  const size = 44 + 48 * points + 32 * (c + 1 + (wires.length ? 1 : 0));
  return { c, groups, pieces, wires, size };
}

/** Takes a proof apart: an object of its elements. Throws Rejected for bytes that no proof of the circuit has. */
export function readProof(data, circuit) {
  const shape = shapeOf(circuit);
  require(data.length === shape.size, `${data.length} bytes, and a proof of this statement has ${shape.size}`);
  const header = concat(utf8("zkmargin"), bigEndian(1, 2), Uint8Array.of(1, 1), setupDigest);
  require(same(data.slice(0, 44), header), "another header: magic, version, curve, kind or setup");
  let at = 44;
  const take = (size) => data.slice(at, (at += size));
  const points = {};
  const takePoints = (...names) => {
    const begin = at;
    for (const name of names) points[name] = point(take(48), name);
    return data.slice(begin, at);
  };
  const indices = (name, count) => Array.from({ length: count }, (_, i) => `${name}[${i}]`);
  const messages = {
    f: takePoints(...indices("f", shape.c)),
    mu: takePoints("mu"),
    gates: takePoints(...shape.wires),
    h: takePoints(...indices("h", shape.groups.length)),
    phi: takePoints("phi"),
    T: takePoints(...indices("T", shape.pieces)),
  };
  const takeScalar = (name) => scalar(take(32), name);
  const begin = at;
  const values = { f: indices("f", shape.c).map((name) => takeScalar(`${name}(zeta)`)) };
  messages["f(zeta)"] = data.slice(begin, at);
  messages["phi(omega zeta)"] = data.slice(at, at + 32);
  values.phi = takeScalar("phi(omega zeta)");
  messages["A(zeta)"] = shape.wires.length ? data.slice(at, at + 32) : new Uint8Array(0);
  values.A = shape.wires.length ? takeScalar("A(zeta)") : 0n;
  messages.W = takePoints("W");
  messages["W'"] = takePoints("W'");
  return { ...shape, points, messages, values };
}

/** Whether a proof proves a statement. `transcript` has absorbed the statement; `committed` are its points by name. */
export function proofHolds(transcript, circuit, committed, proof) {
  const { n, D } = circuit;
  const { c, groups, pieces, wires, points, messages, values } = proof;
  require(n + 2 <= SETUP.powers, "the setup is too small");
  const absorb = (...labels) => labels.forEach((label) => transcript.absorb(label, messages[label]));
  absorb("f", "mu", "gates");
  const beta = transcript.challenge("beta", (x) => mod(-x, r) < BigInt(n));
  const rho = transcript.challenge("rho");
  absorb("h", "phi");
  const chi = transcript.challenge("chi");
  absorb("T");
  const zeta = transcript.challenge("zeta", (x) => power(x, BigInt(n)) === 1n);
  absorb("f(zeta)", "phi(omega zeta)", "A(zeta)");
  const v = transcript.challenge("v");
  absorb("W", "W'");
  const y = transcript.challenge("y");

  const omega = power(7n, (r - 1n) / BigInt(n));
  const Z = mod(power(zeta, BigInt(n)) - 1n, r);
  const roots = [1n];
  while (roots.length < n) roots.push((roots.at(-1) * omega) % r);
  const nth = power(BigInt(n), r - 2n);
  const lagrange = inverses(roots.map((x) => mod(zeta - x, r))).map((inverse, i) => (((roots[i] * Z) % r) * ((inverse * nth) % r)) % r);
  const { weights, sigma } = weightsOf(circuit, rho);
  const U = publicValues(circuit, weights, lagrange);
  const lookup = power(rho, BigInt(circuit.equations.length));

  // The right side of message 3, at zeta: a constant, and what multiplies each committed polynomial.
  const of = new Map();
  const add = (name, value) => of.set(name, mod((of.get(name) ?? 0n) + value, r));
  let known = values.phi + sigma * nth;
  add("phi", -1n);
  for (const name of [...Object.keys(committed), ...wires.slice(1)]) add(name, -U(name));
  for (let i = 0; i < c; i++) known -= U(`f[${i}]`) * values.f[i];
  if (wires.length) known -= U("A") * values.A;
  const table = inverses(lagrange.map((_, i) => mod(beta + BigInt(i), r)));
  add("mu", lookup * lagrange.reduce((total, L, i) => (total + L * table[i]) % r, 0n));
  let step = 1n;
  groups.forEach((group, g) => {
    step = (step * chi) % r;
    const factors = group.map((i) => mod(beta + values.f[i], r));
    const product = factors.reduce((a, b) => (a * b) % r, 1n);
    // the sum of the products of all others, without dividing: a factor may be zero
    const others = factors.map((_, i) => factors.reduce((a, b, j) => (i === j ? a : (a * b) % r), 1n));
    add(`h[${g}]`, step * product - lookup);
    known -= step * others.reduce((a, b) => a + b, 0n);
  });
  for (let s = 0; D && s < circuit.segments("positions"); s++) {
    step = (step * chi) % r;
    add(`positions[${s}]`, step);
    for (let d = 0; d < D; d++) known -= step * BigInt(n) ** BigInt(d) * (values.f[2 * D * s + d] - values.f[2 * D * s + D + d]);
    known = mod(known, r);
  }
  for (const role of ["positions", "collateral"]) {
    for (let s = 0; s < circuit.segments(role); s++) {
      step = (step * chi) % r;
      add(`${role}[${s}]`, step * circuit.unlisted(role, s).reduce((total, row) => total + lagrange[row], 0n));
    }
  }
  if (wires.length) {
    step = (step * chi) % r;
    add("B", step * values.A);
    add("C", -step);
  }

  // F = D + ...: D is T Z_H(zeta) less the right side.
  const F = new Map([...of].map(([name, x]) => [name, -x]));
  let rest = -known;
  for (let i = 0; i < pieces; i++) F.set(`T[${i}]`, power(zeta, BigInt(i * n)) * Z);
  let open = 1n;
  for (let i = 0; i < c; i++) {
    open = (open * v) % r;
    F.set(`f[${i}]`, open);
    rest -= open * values.f[i];
  }
  if (wires.length) {
    open = (open * v) % r;
    F.set("A", open);
    rest -= open * values.A;
  }
  F.set("phi", F.get("phi") + y);
  rest -= y * values.phi;

  const all = { ...committed, ...points };
  const terms = [...F].map(([name, x]) => [x, all[name]]);
  const left = combine([[1n, points.W], [y, points["W'"]]]);
  const right = combine([...terms, [rest, G1.BASE], [zeta, points.W], [((y * omega) % r) * zeta, points["W'"]]]);
  require(pairingHolds(left, right), "the pairing check fails: the proof does not prove this statement");
}

// The circuit: docs/circuit.md, sections 1, 2 (steps), 5 and 6.
import { concat, keccak256, toHex, utf8 } from "./bytes.js";
import { canonical } from "./json.js";
import { abs, bitLength, ceilDivide, max, min } from "./rational.js";
import { require } from "./rejected.js";

/** The order of the scalar field of BLS12-381. */
export const r = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001n;
export const MATRICES = ["positions", "long", "short"];
const MOST_COEFFICIENTS = 1 << 26;
const MOST_EQUATIONS = 1 << 18;

/** A constant and a sum of integer coefficients times atoms; a term that is 0 does not exist. Never altered. */
export class Form {
  constructor(constant = 0n, terms = new Map()) {
    this.constant = constant;
    this.terms = terms; // "kind index" -> coefficient
  }

  static atom(kind, index) {
    return new Form(0n, new Map([[`${kind} ${index}`, 1n]]));
  }

  get nothing() {
    return this.terms.size === 0;
  }

  plus(other, times = 1n) {
    const terms = new Map(this.terms);
    for (const [atom, c] of other.terms) {
      const sum = (terms.get(atom) ?? 0n) + c * times;
      if (sum) terms.set(atom, sum);
      else terms.delete(atom);
    }
    return new Form(this.constant + other.constant * times, terms);
  }

  minus(other) {
    return this.plus(other, -1n);
  }

  times(by) {
    return new Form().plus(this, by);
  }

  canonical() {
    const terms = [...this.terms].map(([atom, c]) => {
      const [kind, index] = atom.split(" ");
      return [kind, Number(index), `${c}`];
    });
    terms.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]));
    return [`${this.constant}`, terms];
  }
}

export const sum = (forms) => forms.reduce((total, form) => total.plus(form), new Form());
export const constant = (value) => new Form(value);

export class Circuit {
  /** `assets` are {bits, negative}; `spare` the capacity and `retired` the retired slots of each role. */
  constructor({ n, slots, positionBits, rangeProved, assets, capacity, retired }) {
    Object.assign(this, { n, slots, positionBits, rangeProved, assets, capacity, retired });
    this.k = BigInt(Math.log2(n));
    this.D = rangeProved ? Number(ceilDivide(positionBits, this.k)) : 0;
    this.P = (1n << (rangeProved ? this.k * BigInt(this.D) : positionBits)) - 1n;
    this.rows = { positions: [], long: [], short: [] };
    this.ranges = { positions: [], long: [], short: [] };
    this.integers = [];
    this.gates = [];
    this.equations = [];
  }

  balanceBound(j) {
    return (1n << (this.k * ceilDivide(this.assets[j].bits, this.k))) - 1n;
  }

  rangeOf(atom) {
    const [kind, text] = atom.split(" ");
    const index = Number(text);
    if (kind === "bounded") return [0n, (1n << (this.k * BigInt(this.integers[index].digits))) - 1n];
    if (kind === "collateral") {
      const bound = this.balanceBound(index);
      return [this.assets[index].negative ? -bound : 0n, bound];
    }
    if (kind in this.ranges) return this.ranges[kind][index];
    const [left, right] = this.gates[index].ranges;
    if (kind === "A") return left;
    if (kind === "B") return right;
    const products = left.flatMap((x) => right.map((y) => x * y));
    return [min(...products), max(...products)];
  }

  /** The least and the greatest value of a form. */
  ends(form) {
    let least = form.constant;
    let greatest = form.constant;
    for (const [atom, c] of form.terms) {
      const [low, high] = this.rangeOf(atom);
      least += c * (c > 0n ? low : high);
      greatest += c * (c > 0n ? high : low);
    }
    return [least, greatest];
  }

  greatest(form) {
    return this.ends(form)[1];
  }

  /** The next row of a side's matrix (N int64), or nothing where all are 0. */
  row(side, coefficients) {
    let above = 0n;
    let below = 0n;
    for (const x of coefficients) {
      if (x > 0n) above += x;
      else below += x;
    }
    if (above === 0n && below === 0n) return new Form();
    require(side === "positions" || this.rangeProved, "a charge on sides needs range-proved positions");
    const made = MATRICES.reduce((count, kind) => count + this.rows[kind].length, 1);
    require(made * this.slots <= MOST_COEFFICIENTS, "too many public coefficients");
    this.rows[side].push(coefficients);
    const size = above - below;
    this.ranges[side].push(side === "positions" ? [-this.P * size, this.P * size] : [this.P * below, this.P * above]);
    return Form.atom(side, this.rows[side].length - 1);
  }

  integer(name, upper) {
    const digits = Number(max(1n, ceilDivide(bitLength(max(upper, 0n)), this.k)));
    this.integers.push({ name, digits });
    return Form.atom("bounded", this.integers.length - 1);
  }

  equal(rule, name, form) {
    require(this.equations.length < MOST_EQUATIONS, "too many equations");
    const [least, greatest] = this.ends(form);
    require(max(-least, greatest) < r / 2n, `${rule}, ${name}: could wrap around the field`);
    this.equations.push({ rule, name, form });
  }

  notNegative(rule, name, form) {
    const slack = this.integer(`slack of ${rule}: ${name}`, this.greatest(form));
    this.equal(rule, name, form.minus(slack));
  }

  /** The product of two forms. */
  gate(a, b) {
    const g = this.gates.length;
    const ranges = [this.ends(a), this.ends(b)];
    this.gates.push({ a, b, ranges });
    const most = max(...ranges[0].flatMap((x) => ranges[1].map((y) => abs(x * y))));
    require(most < r / 2n, "a product could wrap around the field");
    this.equal("product gate", `gate ${g} left`, a.minus(Form.atom("A", g)));
    this.equal("product gate", `gate ${g} right`, b.minus(Form.atom("B", g)));
    return Form.atom("C", g);
  }

  /** An integer that is at least each of the forms. */
  atLeast(rule, name, forms) {
    const x = this.integer(`${rule}: ${name}`, max(...forms.map((form) => this.greatest(form))));
    for (const form of forms) this.notNegative(rule, name, x.minus(form));
    return x;
  }

  // section 5

  listed(role) {
    return role === "positions" ? this.slots : this.assets.length;
  }

  segments(role) {
    return Math.max(1, Math.ceil(Math.max(this.listed(role), this.capacity[role]) / (this.n - 1)));
  }

  /** The rows of a segment that are forced to zero: behind the last slot, and those of retired ones. */
  unlisted(role, s) {
    const used = Math.min(Math.max(this.listed(role) - s * (this.n - 1), 0), this.n - 1);
    const rows = new Set(this.retired[role].filter((slot) => Math.floor(slot / (this.n - 1)) === s).map((slot) => slot - s * (this.n - 1)));
    for (let row = used; row < this.n; row++) rows.add(row);
    return [...rows];
  }

  /** The first packed column, and how many columns of digits there are. */
  get packed() {
    return this.segments("positions") * 2 * this.D;
  }

  get columns() {
    const cells = this.integers.reduce((count, { digits }) => count + digits, 0);
    return this.packed + Math.max(1, Math.ceil(cells / this.n));
  }

  // section 6

  digest() {
    const matrices = {};
    for (const kind of MATRICES) {
      const rows = this.rows[kind];
      const bytes = concat(...rows.map((row) => new Uint8Array(row.buffer, row.byteOffset, row.byteLength)));
      matrices[kind] = [[rows.length, this.slots], toHex(keccak256(bytes))];
    }
    const roles = ["positions", "collateral"];
    const segments = roles.map((role) => this.segments(role));
    const natural = roles.map((role) => Math.max(1, Math.ceil(this.listed(role) / (this.n - 1))));
    const universe = roles.some((role, i) => this.retired[role].length || segments[i] !== natural[i]);
    const document = {
      ...(universe ? { retired: this.retired, segments } : {}),
      format: `zkmargin/circuit/v${universe ? 2 : 1}`,
      n: this.n,
      positions: [this.slots, this.D, this.P],
      collateral: this.assets.length,
      matrices,
      bounded: this.integers.map(({ name, digits }) => [name, digits]),
      gates: this.gates.map(({ a, b }) => [a.canonical(), b.canonical()]),
      equations: this.equations.map(({ rule, name, form }) => [rule, name, form.canonical()]),
    };
    return keccak256(utf8(canonical(document)));
  }
}

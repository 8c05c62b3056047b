// JSON as docs/formats.md has it: strict reading, canonical writing. Every integer is a BigInt; objects have no prototype.
import { require } from "./rejected.js";
import { text } from "./bytes.js";

const MAX_DEPTH = 64;
const MAX_DIGITS = 400;
const MAX_BYTES = 128 * 1024 * 1024;
const MAX_VALUES = 1 << 23;
const PLAIN = /"([^"\\\u0000-\u001f]*)"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)/y;
const SPACE = /[ \t\n\r]*/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

class Reader {
  constructor(source, what) {
    this.source = source;
    this.what = what;
    this.at = 0;
    this.values = 0;
  }

  fail(reason) {
    require(false, `${this.what}: ${reason}`);
  }

  space() {
    SPACE.lastIndex = this.at;
    this.at += SPACE.exec(this.source)[0].length;
  }

  value(depth) {
    if (depth > MAX_DEPTH) this.fail("nested too deep");
    if (++this.values > MAX_VALUES) this.fail("too many values");
    const letter = this.source[this.at];
    if (letter === "{") return this.object(depth);
    if (letter === "[") return this.array(depth);
    if (letter === '"') return this.string();
    for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
      if (this.source.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.integer();
  }

  integer() {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.source);
    if (!found) this.fail(`not JSON at character ${this.at}`);
    const literal = found[0];
    this.at += literal.length;
    if (/[.eE0-9]/.test(this.source[this.at] ?? "")) this.fail("a bare number that is no integer");
    if (literal === "-0" || literal.length > MAX_DIGITS) this.fail("a number in another text than its own, or too long");
    return BigInt(literal);
  }

  string() {
    PLAIN.lastIndex = this.at;
    const plain = PLAIN.exec(this.source);
    if (plain) {
      this.at += plain[0].length;
      return plain[1];
    }
    let result = "";
    for (this.at++; ; ) {
      const letter = this.source[this.at++];
      if (letter === undefined || letter < " ") this.fail("a string that does not end");
      if (letter === '"') break;
      result += letter === "\\" ? this.escape() : letter;
    }
    if (!result.isWellFormed()) this.fail("a string that is no Unicode text");
    return result;
  }

  escape() {
    const letter = this.source[this.at++];
    if (letter === "u") {
      const digits = this.source.slice(this.at, this.at + 4);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("an escape that is none");
      this.at += 4;
      return String.fromCharCode(parseInt(digits, 16));
    }
    if (!Object.hasOwn(ESCAPES, letter ?? "")) this.fail("an escape that is none");
    return ESCAPES[letter];
  }

  array(depth) {
    const items = [];
    this.at++;
    this.space();
    if (this.source[this.at] === "]") {
      this.at++;
      return items;
    }
    for (;;) {
      this.space();
      items.push(this.value(depth + 1));
      this.space();
      const letter = this.source[this.at++];
      if (letter === "]") return items;
      if (letter !== ",") this.fail(`not JSON at character ${this.at - 1}`);
    }
  }

  object(depth) {
    const members = Object.create(null);
    this.at++;
    this.space();
    if (this.source[this.at] === "}") {
      this.at++;
      return members;
    }
    for (;;) {
      this.space();
      if (this.source[this.at] !== '"') this.fail(`not JSON at character ${this.at}`);
      const key = this.string();
      if (Object.hasOwn(members, key)) this.fail(`the key ${JSON.stringify(key.slice(0, 40))} is there twice`);
      this.space();
      if (this.source[this.at++] !== ":") this.fail(`not JSON at character ${this.at - 1}`);
      this.space();
      members[key] = this.value(depth + 1);
      this.space();
      const letter = this.source[this.at++];
      if (letter === "}") return members;
      if (letter !== ",") this.fail(`not JSON at character ${this.at - 1}`);
    }
  }
}

/** The value of a document's bytes. */
export function parse(data, what) {
  require(data.length <= MAX_BYTES, `${what}: larger than any document`);
  const reader = new Reader(text(data, what), what);
  reader.space();
  const value = reader.value(1);
  reader.space();
  if (reader.at !== reader.source.length) reader.fail("something behind the end");
  return value;
}

/** By code points, as canonical JSON sorts: UTF-16 units would put U+FFFF before U+10000. */
export function compare(a, b) {
  const [x, y] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = x[i].codePointAt(0) - y[i].codePointAt(0);
    if (difference) return difference;
  }
  return x.length - y.length;
}

/** Canonical JSON: sorted keys, no white space, integers with all their digits. Numbers count as integers. */
export function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "bigint" || typeof value === "number") return value.toString();
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const keys = Object.keys(value).sort(compare);
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

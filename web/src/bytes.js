// Bytes and their texts, each strict: one text for one value.
import { keccak_256 } from "@noble/hashes/sha3.js";
import { require } from "./rejected.js";

const HEX = /^(?:[0-9a-f]{2})*$/;
const encoder = new TextEncoder();

export const keccak256 = (data) => keccak_256(data);
export const utf8 = (text) => encoder.encode(text);

/** Bytes of UTF-8 text, refused where they are none. A byte-order mark stays, and is no JSON. */
export function text(data, what) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return require(false, `${what}: not UTF-8`);
  }
}

export function fromHex(digits, what) {
  require(typeof digits === "string" && HEX.test(digits), `${what}: not lower-case hexadecimal`);
  const data = new Uint8Array(digits.length / 2);
  for (let i = 0; i < data.length; i++) data[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return data;
}

export const toHex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export function fromBase64(letters, what) {
  require(typeof letters === "string" && letters.length % 4 === 0 && BASE64.test(letters), `${what}: not base64`);
  const binary = atob(letters);
  // the last letters may hold bits that are no byte's: only one text is the value's
  require(btoa(atob(letters.slice(-4))) === letters.slice(-4), `${what}: not base64 in its one text`);
  const data = new Uint8Array(binary.length);
  for (let i = 0; i < data.length; i++) data[i] = binary.charCodeAt(i);
  return data;
}

export function concat(...pieces) {
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** A number in `size` bytes, big-endian. */
export function bigEndian(value, size) {
  const data = new Uint8Array(size);
  let rest = BigInt(value);
  for (let i = size - 1; i >= 0; i--) {
    data[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  require(rest === 0n, "a number that is too large for its bytes");
  return data;
}

export const toInteger = (data) => (data.length ? BigInt(`0x${toHex(data)}`) : 0n);

export const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

// Signatures of documents: docs/formats.md, "Signatures". BLS, Ed25519, and secp256k1 over EIP-712 typed data.
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bigEndian, concat, fromHex, keccak256, same, toInteger, utf8 } from "./bytes.js";
import { G2, point } from "./group.js";
import { canonical } from "./json.js";
import { require } from "./rejected.js";
import { hex, list, literal, object, string } from "./shape.js";

const BLS = bls12_381.longSignatures;
const SIGNED = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const POSSESSED = "BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const SIZES = { bls: [48, 96], ed25519: [32, 64], secp256k1: [33, 65] };
export const scheme = literal(...Object.keys(SIZES));

/** A public key's hex: as long as its scheme says. */
export const keyOf = (own, value, place) => hex(SIZES[own][0])(value, place);

export function readSignature(value, place) {
  object({ scheme, public_keys: list(string(/^[0-9a-f]+$/, 96), 1, 64), signature: string(/^[0-9a-f]+$/, 192) })(value, place);
  value.public_keys.forEach((key) => keyOf(value.scheme, key, `${place}.public_keys`));
  hex(SIZES[value.scheme][1])(value.signature, `${place}.signature`);
  require(value.scheme === "bls" || value.public_keys.length === 1, `${place}: only signatures of bls add up`);
}

export const payloadDigest = (format, payload) => keccak256(utf8(canonical({ format, payload })));

/** What is signed: format, digest, and the struct that a wallet shows: [name, [[type, member], ...]], or null. */
export class Message {
  constructor(format, payload, struct = null) {
    Object.assign(this, { format, payload, struct, digest: payloadDigest(format, payload) });
  }

  get bytes() {
    return concat(utf8("zkmargin signature"), Uint8Array.of(0), utf8(this.format), Uint8Array.of(0), this.digest);
  }

  /** 0x19 0x01, the domain's hash and the struct's. */
  get typed() {
    const [name, members] = this.struct;
    const values = { ...this.payload, format: this.format, payload: this.digest };
    const all = [["string", "format"], ...members, ["bytes32", "payload"]];
    const domain = hashStruct("EIP712Domain", [["string", "name"], ["string", "version"]], { name: "zkmargin", version: "1" });
    return concat(Uint8Array.of(0x19, 1), domain, hashStruct(name, all, values));
  }
}

function hashStruct(name, members, values) {
  const type = `${name}(${members.map(([kind, member]) => `${kind} ${member}`).join(",")})`;
  const word = (kind, value) => {
    if (kind === "string") return keccak256(utf8(value ?? ""));
    if (kind === "bytes32") return typeof value === "string" ? fromHex(value, "a digest") : value;
    return bigEndian(value, 32);
  };
  return keccak256(concat(keccak256(utf8(type)), ...members.map(([kind, member]) => word(kind, values[member]))));
}

function pointG2(data) {
  require((data[0] & 0xc0) === 0x80, "a signature that is no compressed point, or infinity");
  const [c1, c0] = [toInteger(data.slice(0, 48)) & ((1n << 381n) - 1n), toInteger(data.slice(48))];
  require(c1 < bls12_381.fields.Fp.ORDER && c0 < bls12_381.fields.Fp.ORDER, "a coordinate that is not canonical");
  return G2.fromBytes(data);
}

function blsVerifies(keys, message, signature, tag) {
  const sum = keys.map((key) => point(key, "a key")).reduce((a, b) => a.add(b));
  if (sum.is0()) return false;
  return BLS.verify(pointG2(signature), BLS.hash(message, tag), sum);
}

function secpVerifies(key, message, signature) {
  if (!message.struct) return false;
  const v = signature[64];
  if (v !== 27 && v !== 28) return false;
  const hash = keccak256(message.typed);
  const rs = signature.slice(0, 64);
  if (!secp256k1.verify(rs, hash, key, { prehash: false, lowS: true, format: "compact" })) return false;
  const recovered = secp256k1.recoverPublicKey(concat(Uint8Array.of(v - 27), rs), hash, { prehash: false });
  return same(recovered, key);
}

/** Whether all keys of a signature signed. */
export function verifies(signature, message) {
  const keys = signature.public_keys.map((key) => fromHex(key, "a key"));
  const data = fromHex(signature.signature, "a signature");
  try {
    if (signature.scheme === "bls") return blsVerifies(keys, message.bytes, data, SIGNED);
    if (signature.scheme === "ed25519") return ed25519.verify(data, message.bytes, keys[0], { zip215: false });
    return secpVerifies(keys[0], message, data);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return false;
  }
}

const possessions = new Map();

/** Whether a BLS key comes with a proof of possession. What was found once is kept: it says so of a pair of numbers. */
export function possessed(key, possession) {
  const pair = `${key} ${possession}`;
  if (!possessions.has(pair)) possessions.set(pair, provesPossession(key, possession));
  return possessions.get(pair);
}

function provesPossession(key, possession) {
  try {
    return blsVerifies([fromHex(key, "a key")], fromHex(key, "a key"), fromHex(possession, "a proof of possession"), POSSESSED);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return false;
  }
}


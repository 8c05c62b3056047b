#!/usr/bin/env bash
# Guess: a `bytes` field of EIP-712 typed data is hexadecimal; written without 0x ("01") it is either refused or
#        read as the byte 0x01, and whoever hashes the document gets the same digest.
# Seen:  eth-account 0.14.0, viem 2.57.20 and @metamask/eth-sig-util 8.2.0 hash the *text* "01" (two characters,
#        0x30 0x31), without a word; ethers 6.17.0 refuses it. With 0x all four agree.
# Means: typed data for signers outside must spell every `bytes` value with 0x. A document that leaves it out is signed
#        by three of four tools, under a digest that the contract never computes.
# Needs: python3, node 20, npm. Prints the digests and exits 1 if any of this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check eth-account==0.14.0
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ethers@6.17.0 viem@2.57.20 @metamask/eth-sig-util@8.2.0

cat > typed.json <<'JSON'
{"domain": {"name": "x"}, "primaryType": "M",
 "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "M": [{"name": "b", "type": "bytes"}]}}
JSON

cat > hash.py <<'PY'
import json, sys
from eth_account.messages import encode_typed_data
from eth_utils import keccak

def digest(value):
    signable = encode_typed_data(full_message=json.load(open("typed.json")) | {"message": {"b": value}})
    return keccak(b"\x19\x01" + signable.header + signable.body).hex()[:16]

as_byte, bare, as_text = digest("0x01"), digest("01"), digest("0x3031")
print("eth-account", as_byte, bare, as_text)
assert bare == as_text != as_byte
PY
venv/bin/python hash.py | tee python.txt

cat > hash.mjs <<'JS'
import {readFileSync} from "node:fs";
import assert from "node:assert";
import {TypedDataEncoder} from "ethers";
import {hashTypedData} from "viem";
import {TypedDataUtils} from "@metamask/eth-sig-util";
const typed = JSON.parse(readFileSync("typed.json"));
const {EIP712Domain, ...types} = typed.types;
const tools = {
  viem: (b) => hashTypedData({...typed, message: {b}}),
  "eth-sig-util": (b) => "0x" + Buffer.from(TypedDataUtils.eip712Hash({...typed, message: {b}}, "V4")).toString("hex"),
};
const short = (digest) => digest.slice(2, 18);
const [, asByte, , asText] = readFileSync("python.txt", "utf8").trim().split(" ");
for (const [name, hash] of Object.entries(tools)) {
  const row = ["0x01", "01", "0x3031"].map((b) => short(hash(b)));
  console.log(name, ...row);
  assert.deepEqual(row, [asByte, asText, asText]);
}
assert.equal(short(TypedDataEncoder.hash(typed.domain, types, {b: "0x01"})), asByte);
assert.throws(() => TypedDataEncoder.hash(typed.domain, types, {b: "01"}), /invalid BytesLike value/);
console.log("ethers", asByte, "refused");
JS
node hash.mjs
echo "as described: three of four tools hash the text"

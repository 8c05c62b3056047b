#!/usr/bin/env bash
# Guess: snarkjs, asked for a Solidity verifier of a Groth16 key over BLS12-381, refuses (its template calls the
#        precompiles of BN254), or writes one for the EIP-2537 precompiles.
# Seen:  snarkjs 0.7.6 says "EXPORT VERIFICATION KEY FINISHED", exits 0, and writes a contract with the two moduli of
#        BN254 and the points of BLS12-381: constants of 381 bits declared as uint256, which no compiler takes.
#        Set-up, proof and verification over BLS12-381 work in the same tool.
# Means: a Groth16 proof over BLS12-381 has no contract from this tool, so gas figures of "Groth16 by snarkjs" are
#        BN254's: compare them with a verifier at 128 bits of security only with that said.
# Needs: node 20, npm. Exits 1 if any of this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund snarkjs@0.7.6 circom2@0.2.23
cat > product.circom <<'CIRCOM'
pragma circom 2.0.0;
template Product() { signal input a; signal input b; signal output c; c <== a * b; }
component main {public [a]} = Product();
CIRCOM
run() { npx --no-install "$@" >> log.txt 2>&1; }
run circom2 product.circom --r1cs --wasm -p bls12381 -o .
run snarkjs powersoftau new bls12-381 8 first.ptau
run snarkjs powersoftau contribute first.ptau second.ptau -e=example --name=example
run snarkjs powersoftau prepare phase2 second.ptau final.ptau
run snarkjs groth16 setup product.r1cs final.ptau product.zkey
run snarkjs zkey export verificationkey product.zkey key.json
grep -q '"curve": "bls12381"' key.json
echo '{"a": "3", "b": "5"}' > input.json
run snarkjs groth16 fullprove input.json product_js/product.wasm product.zkey proof.json public.json
run snarkjs groth16 verify key.json public.json proof.json
echo "a proof over BLS12-381 is made and verified"
npx --no-install snarkjs zkey export solidityverifier product.zkey verifier.sol | tail -1
grep -q "= 21888242871839275222246405745257275088548364400416034343698204186575808495617;" verifier.sol
node -e '
const text = require("fs").readFileSync("verifier.sol", "utf8");
const found = [...text.matchAll(/uint256 constant (\w+) *= (\d+);/g)];
const wide = found.filter(([, , value]) => BigInt(value) >> 256n).map(([, name]) => name);
console.log("exit 0;", found.length, "constants,", wide.length, "of them wider than 256 bits:", wide.join(" "));
process.exit(wide.length === 0 ? 1 : 0);'
echo "as described: BN254's moduli, BLS12-381's points"

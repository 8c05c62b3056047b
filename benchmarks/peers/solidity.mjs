// node solidity.mjs OUTPUT: UltraHonk's Solidity verifiers of noir/, a proof and its public inputs for each.
// $CRS_PATH names the folder of the setup. The contract says whether the proof holds: bb's own check knows the ceremony only.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Barretenberg, UltraHonkBackend } from "@aztec/bb.js";
import { Noir } from "@noir-lang/noir_js";
import { compile, createFileManager } from "@noir-lang/noir_wasm";

const [output] = process.argv.slice(2);
const { program } = await compile(createFileManager(fileURLToPath(new URL("noir", import.meta.url))));
const positions = Array.from({ length: 64 }, (_, i) => i + 1);
const risk = Array.from({ length: 16 }, (_, i) => i + 3);
const total = positions.reduce((sum, lots, i) => sum + lots * risk[i % 16], 0);
const { witness } = await new Noir(program).execute({ positions, risk, total });
const api = await Barretenberg.new({ threads: 1 });
const backend = new UltraHonkBackend(program.bytecode, api);
const { version } = JSON.parse(readFileSync(new URL("node_modules/@aztec/bb.js/package.json", import.meta.url)));
const made = { version, verifiers: {} };
for (const verifierTarget of ["evm", "evm-no-zk"]) {
  const options = { verifierTarget };
  const proof = await backend.generateProof(witness, options);
  const source = await backend.getSolidityVerifier(await backend.getVerificationKey(options), options);
  made.verifiers[verifierTarget] = { source, proof: Buffer.from(proof.proof).toString("hex"), inputs: proof.publicInputs };
}
await api.destroy();
writeFileSync(join(output), JSON.stringify(made));

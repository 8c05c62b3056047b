// node noir.mjs compile FOLDER: FOLDER/src/main.nr -> FOLDER/circuit.json
// node noir.mjs solve FOLDER: circuit.json and inputs.json -> witness.gz; prints the milliseconds of the solver alone
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [verb, folder] = process.argv.slice(2);
const file = (name) => join(folder, name);

if (verb === "compile") {
  const { compile_program, createFileManager } = await import("@noir-lang/noir_wasm");
  const result = await compile_program(createFileManager(resolve(folder)), undefined, () => {}, () => {});
  writeFileSync(file("circuit.json"), JSON.stringify(result.program ?? result));
} else {
  const { Noir } = await import("@noir-lang/noir_js");
  const noir = new Noir(JSON.parse(readFileSync(file("circuit.json"), "utf8")));
  const inputs = JSON.parse(readFileSync(file("inputs.json"), "utf8"));
  await noir.init();
  const start = performance.now();
  const { witness, returnValue } = await noir.execute(inputs);
  console.log(JSON.stringify({ milliseconds: performance.now() - start, returned: returnValue ?? null }));
  writeFileSync(file("witness.gz"), witness);
}

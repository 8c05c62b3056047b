#!/usr/bin/env node
// The few options of the native compiler that slither asks for (--version, --combined-json FILE), answered by npm's solc.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const args = process.argv.slice(2);
if (args.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
  process.exit(0);
}
const file = args.find((word) => word.endsWith(".sol"));
const folder = path.dirname(file);
const sources = {};
const names = fs.readdirSync(folder).filter((name) => name.endsWith(".sol")).sort();
for (const name of names) sources[path.join(folder, name)] = { content: fs.readFileSync(path.join(folder, name), "utf8") };
const wanted = ["abi", "userdoc", "devdoc", "metadata", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers"];
const settings = { viaIR: true, optimizer: { enabled: true }, evmVersion: "prague", outputSelection: { "*": { "*": wanted, "": ["ast"] } } };
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
const result = { contracts: {}, sources: {}, sourceList: [], version: solc.version() };
for (const [name, unit] of Object.entries(output.sources)) {
  result.sources[name] = { AST: unit.ast };
  result.sourceList[unit.id] = name;
}
for (const [unit, contracts] of Object.entries(output.contracts)) {
  for (const [name, made] of Object.entries(contracts)) {
    result.contracts[`${unit}:${name}`] = {
      abi: made.abi,
      bin: made.evm.bytecode.object,
      "bin-runtime": made.evm.deployedBytecode.object,
      srcmap: made.evm.bytecode.sourceMap,
      "srcmap-runtime": made.evm.deployedBytecode.sourceMap,
      hashes: made.evm.methodIdentifiers,
      userdoc: made.userdoc,
      devdoc: made.devdoc,
    };
  }
}
process.stdout.write(JSON.stringify(result));

// node compile.cjs STANDARD_JSON: solc's answer to a standard-JSON input, on standard output.
const fs = require("fs");
const solc = require("solc");

const input = fs.readFileSync(process.argv[2], "utf8");
process.stdout.write(JSON.stringify({ version: solc.version(), output: JSON.parse(solc.compile(input)) }));

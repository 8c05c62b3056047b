// Builds the verifier page: node build.mjs OUTPUT. One file; the same sources and lock give the same bytes.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const [output] = process.argv.slice(2);
const here = (name) => new URL(name, import.meta.url).pathname;

const made = await build({
  entryPoints: [here("src/page.js")],
  absWorkingDir: here("."),
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "ascii",
  legalComments: "inline",
  write: false,
});
const script = made.outputFiles[0].text.trim();
if (script.includes("</script")) throw new Error("the script would end early");
const style = readFileSync(here("src/style.css"), "utf8").trim();
const digest = (text) => createHash("sha256").update(text).digest("base64");
const page = readFileSync(here("src/index.html"), "utf8")
  .replace("SCRIPT_TEXT", () => script)
  .replace("STYLESHEET", () => style)
  .replace("sha256-SCRIPT", () => `sha256-${digest(script)}`)
  .replace("sha256-STYLE", () => `sha256-${digest(style)}`);
writeFileSync(output, page);

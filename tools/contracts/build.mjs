// Compiles src/*.sol: `node build.mjs` says whether artifacts/ is what the sources give, and exits with 1 if not;
// `node build.mjs --renew` writes it.
//
// An artifact is {contractName, abi, bytecode, retryable}: what deploys the contract, and the names of those of its errors after which
// a transition may be tried again. Nothing in it depends on the machine, the directory or the time.
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import solc from "solc";

const here = new URL("./", import.meta.url);
const require = createRequire(import.meta.url);
const RETRYABLE = "custom:retryable";

/** The contracts that are deployed; the others are parts of them. */
const DEPLOYED = ["DomainFactory", "EndorsedLedger", "NotaryToken"];

const settings = {
  // The oldest that the libraries allow.
  evmVersion: "cancun",
  // Transitions run far more often than contracts are deployed.
  optimizer: { enabled: true, runs: 1_000_000 },
  viaIR: true,
  // A hash of the sources in the bytecode would make an artifact of every changed comment.
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  outputSelection: { "*": { "*": ["abi", "devdoc", "evm.bytecode.object"] } },
};

/** The standard JSON output; throws if solc has anything to say, warnings too. */
function compile() {
  const names = readdirSync(new URL("src", here)).filter((name) => name.endsWith(".sol"));
  const sources = Object.fromEntries(names.sort().map((name) => [name, { content: readFileSync(new URL(`src/${name}`, here), "utf8") }]));
  const library = (path) => ({ contents: readFileSync(require.resolve(path), "utf8") });
  const input = { language: "Solidity", sources, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: library }));
  const said = output.errors ?? [];
  if (said.length > 0) throw new Error(said.map((one) => one.formattedMessage).join("\n"));
  return output;
}

/** `NAME.json` → text, for each deployed contract. */
function artifacts() {
  const compiled = compile();
  return new Map(
    DEPLOYED.map((contractName) => {
      const { abi, devdoc, evm } = compiled.contracts[`${contractName}.sol`][contractName];
      const tagged = Object.entries(devdoc.errors ?? {}).filter(([, docs]) => docs.some((doc) => RETRYABLE in doc));
      const retryable = tagged.map(([signature]) => signature.split("(")[0]).sort();
      const artifact = { contractName, abi, bytecode: `0x${evm.bytecode.object}`, retryable };
      return [`${contractName}.json`, `${JSON.stringify(artifact, null, 1)}\n`];
    }),
  );
}

const directory = new URL("artifacts/", here);
const committed = readdirSync(directory).filter((name) => name.endsWith(".json"));
const wanted = artifacts();
const surplus = committed.filter((name) => !wanted.has(name));
if (process.argv.includes("--renew")) {
  for (const name of surplus) rmSync(new URL(name, directory));
  for (const [name, text] of wanted) writeFileSync(new URL(name, directory), text);
  console.log(`${wanted.size} artifacts written`);
} else {
  const differs = ([name, text]) => !committed.includes(name) || readFileSync(new URL(name, directory), "utf8") !== text;
  const wrong = [...surplus, ...[...wanted].filter(differs).map(([name]) => name)];
  if (wrong.length > 0) {
    console.error(`not what the sources give: artifacts/${wrong.join(", artifacts/")}; write them by: cargo xtask contracts --renew`);
    process.exit(1);
  }
  console.log(`${wanted.size} artifacts are what the sources give`);
}

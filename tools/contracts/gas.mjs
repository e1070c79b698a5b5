// What transactions to the contracts cost: `node gas.mjs` compares with gas.json and exits with 1 if a figure differs;
// `node gas.mjs --renew` writes it. The figures are whole transactions' as receipts tell them, and repeat to the unit.
import { readFileSync, writeFileSync } from "node:fs";
import { accounts, createEndorsedLedger, createNotaryToken, hash, startChain, transition } from "./testing/kit.mjs";

/** States on each side of a transition. */
const SIZES = [1, 2, 10];
/** All of so many endorse. */
const MEMBERS = [2, 5, 20];

const file = new URL("gas.json", import.meta.url);
const figures = {};

async function transitions(chain, title, ledger, sizes) {
  for (const size of sizes) {
    const ids = (what) => Array.from({ length: size }, (_, n) => hash(title, size, what, n));
    const steps = {
      [`${size} out`]: { outputs: ids("coins") },
      [`${size} read, 1 out`]: { reads: ids("coins"), outputs: [hash(title, size)] },
      [`${size} in, ${size} out`]: { inputs: ids("coins"), outputs: ids("change") },
    };
    for (const [step, states] of Object.entries(steps)) {
      const values = await ledger.submit(transition({ id: hash(title, step), ...states }));
      const { gasUsed } = await chain.carryOut(ledger.name, ledger.address, "transition", values);
      figures[`${title}: ${step}`] = Number(gasUsed);
    }
  }
}

const chain = await startChain();
try {
  const token = await createNotaryToken(chain);
  figures["NotaryToken, 1 notary: created"] = Number(token.gasUsed);
  await transitions(chain, "NotaryToken, 1 notary", token, SIZES);
  for (const count of MEMBERS) {
    const title = `EndorsedLedger, ${count} of ${count}`;
    const ledger = await createEndorsedLedger(chain, accounts.slice(0, count));
    figures[`${title}: created`] = Number(ledger.gasUsed);
    await transitions(chain, title, ledger, count === MEMBERS[0] ? SIZES : [1]);
  }
} finally {
  chain.stop();
}

if (process.argv.includes("--renew")) {
  writeFileSync(file, `${JSON.stringify(figures, null, 1)}\n`);
  console.log(`${Object.keys(figures).length} figures of gas written`);
} else {
  const limits = JSON.parse(readFileSync(file, "utf8"));
  const names = [...new Set([...Object.keys(limits), ...Object.keys(figures)])];
  const wrong = names.filter((name) => limits[name] !== figures[name]);
  for (const name of wrong) console.error(`gas of ${name}: ${figures[name]}, in gas.json ${limits[name]}`);
  if (wrong.length > 0) {
    console.error("if that is meant, write gas.json by: cargo xtask contracts --renew");
    process.exit(1);
  }
  console.log(`${names.length} figures of gas are as in gas.json`);
}

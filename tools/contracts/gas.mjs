// What transactions to the contracts cost. `node gas.mjs` compares with `measured` in gas.json and exits with 1 if a figure differs;
// `node gas.mjs --renew` writes them. They are whole transactions' gas as receipts tell it, and repeat to the unit.
//
// `limit` in gas.json gives a gas limit that is always enough, and never more than a third too much: nodes cannot estimate a transition
// that builds on one that is not mined yet. Its terms are units of gas for each of what they are named after.
import { readFileSync, writeFileSync } from "node:fs";
import { accounts, createEndorsedLedger, createNotaryToken, hash, startChain, transition } from "./testing/kit.mjs";

/** States on each side of a transition. */
const SIZES = [1, 2, 10];
const DATA_BYTES = [0, 100, 1_000, 10_000];
/** Who may submit, or must endorse: [of whom, so many]. */
const NOTARIES = [1, 20];
const ENDORSERS = [[2, 2], [5, 5], [20, 2], [20, 20]];

const file = new URL("gas.json", import.meta.url);
const written = JSON.parse(readFileSync(file, "utf8"));
const measured = {};
const wrong = [];

/** A limit for a transition to a ledger with so many notaries or members, with so many endorsements. */
function limit(t, members, signatures) {
  const { transition, input, read, output, data_byte, member, signature } = written.limit;
  const states = input * t.inputs.length + read * t.reads.length + output * t.outputs.length;
  return transition + states + (data_byte * (t.data.length - 2)) / 2 + member * members + signature * signatures;
}

async function transitions(chain, title, ledger, members, signatures) {
  measured[`${title}: created`] = Number(ledger.gasUsed);
  const steps = {};
  for (const size of SIZES) {
    const ids = (what) => Array.from({ length: size }, (_, n) => hash(title, size, what, n));
    steps[`${size} out`] = { outputs: ids("coins") };
    steps[`${size} read`] = { reads: ids("coins") };
    steps[`${size} in, ${size} out`] = { inputs: ids("coins"), outputs: ids("change") };
  }
  for (const bytes of DATA_BYTES) steps[`${bytes} bytes of data`] = { data: `0x${"ff".repeat(bytes)}` };
  for (const [step, content] of Object.entries(steps)) {
    const t = transition({ id: hash(title, step), ...content });
    const receipt = await chain.carryOut(ledger.name, ledger.address, "transition", await ledger.submit(t));
    const used = Number(receipt.gasUsed);
    const bound = limit(t, members, signatures);
    measured[`${title}: ${step}`] = used;
    if (used > bound || bound > (used * 4) / 3) wrong.push(`gas of ${title}: ${step}: ${used}, with a limit of ${bound}`);
  }
}

const chain = await startChain();
try {
  for (const count of NOTARIES) {
    const token = await createNotaryToken(chain, accounts.slice(0, count));
    await transitions(chain, `NotaryToken, 1 of ${count}`, token, count, 0);
  }
  for (const [count, required] of ENDORSERS) {
    const ledger = await createEndorsedLedger(chain, accounts.slice(0, count), required);
    await transitions(chain, `EndorsedLedger, ${required} of ${count}`, ledger, count, required);
  }
} finally {
  chain.stop();
}

if (process.argv.includes("--renew")) {
  writeFileSync(file, `${JSON.stringify({ limit: written.limit, measured }, null, 1)}\n`);
} else {
  const names = [...new Set([...Object.keys(written.measured), ...Object.keys(measured)])];
  for (const name of names.filter((name) => written.measured[name] !== measured[name]))
    wrong.push(`gas of ${name}: ${measured[name]}, in gas.json ${written.measured[name]}; if that is meant: cargo xtask contracts --renew`);
}
for (const line of wrong) console.error(line);
if (wrong.length > 0) process.exit(1);
console.log(`${Object.keys(measured).length} figures of gas are those in gas.json`);

// The endorsed ledger: who must have signed what, and all that a ledger keeps.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accounts, args, createEndorsedLedger, endorse, endorsedConfig, startChain, state, transition, unmet, viem } from "../testing/kit.mjs";
import { keepsALedger } from "../testing/ledger.mjs";

/** Order of the curve's group: s and N − s both verify. */
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const [a, b, c, d, e, stranger] = accounts;
const members = [a, b, c, d, e];
const REQUIRED = 3;

let chain, ledger, all;
before(async () => {
  chain = await startChain();
  ledger = await createEndorsedLedger(chain, members, REQUIRED);
  all = await createEndorsedLedger(chain, members, members.length);
});
after(() => chain?.stop());

keepsALedger(createEndorsedLedger);

const carryOut = (at, t, signatures, account) => chain.carryOut(at.name, at.address, "transition", [...args(t), signatures], account);
const reverts = (at, t, signatures, name, values) =>
  chain.reverts({ name, args: values }, false, at.name, at.address, "transition", [...args(t), signatures]);
/** A transition with something in every part, on states that exist. */
async function whole() {
  const [input, read] = [state(), state()];
  const first = transition({ outputs: [input, read] });
  await carryOut(ledger, first, await endorse(ledger, first, [a, b, c]));
  return transition({ inputs: [input], reads: [read], outputs: [state(), state()], data: "0xc0ffee" });
}
const signer = async (at, t, signature) =>
  viem.recoverAddress({ hash: await chain.read(at.name, at.address, "digest", args(t)), signature });

test("any M of N members are enough, and more are welcome", async () => {
  for (const signers of [[a, b, c], [a, c, e], [c, d, e], [b, c, d, e], members]) {
    const t = transition({ outputs: [state()] });
    await carryOut(ledger, t, await endorse(ledger, t, signers));
  }
});

test("anybody may submit what is endorsed", async () => {
  const t = transition({ outputs: [state()] });
  await carryOut(ledger, t, await endorse(ledger, t, [a, b, c]), stranger);
});

test("all of N means all", async () => {
  const t = transition({ outputs: [state()] });
  await reverts(all, t, await endorse(all, t, [a, b, c, d]), "TooFewEndorsements", [4n, 5n]);
  await carryOut(all, t, await endorse(all, t, members));
});

test("too few endorsements are refused", async () => {
  const t = transition();
  await reverts(ledger, t, [], "TooFewEndorsements", [0n, 3n]);
  await reverts(ledger, t, await endorse(ledger, t, [b, d]), "TooFewEndorsements", [2n, 3n]);
});

test("a signer who is no member is refused, also beside enough who are", async () => {
  const t = transition();
  const outsiders = accounts.slice(5);
  assert.ok(outsiders.every((outsider) => outsider.address.toLowerCase() > e.address.toLowerCase()));
  await reverts(ledger, t, await endorse(ledger, t, [a, b, stranger]), "EndorserNotMember", [stranger.address]);
  await reverts(ledger, t, await endorse(ledger, t, [a, b, c, stranger]), "EndorserNotMember", [stranger.address]);
});

test("a signer between two members, or before the first, is no member either", async () => {
  const gapped = await createEndorsedLedger(chain, [b, d, e], 2);
  const t = transition();
  await reverts(gapped, t, await endorse(gapped, t, [b, c]), "EndorserNotMember", [c.address]);
  await reverts(gapped, t, await endorse(gapped, t, [a, b]), "EndorserNotMember", [a.address]);
  await carryOut(gapped, t, await endorse(gapped, t, [b, e]));
});

test("a signer counts once", async () => {
  const t = transition();
  await reverts(ledger, t, await endorse(ledger, t, [a, b, b]), "EndorsersNotAscending", [b.address, b.address]);
  await reverts(ledger, t, await endorse(ledger, t, [a, b, a]), "EndorsersNotAscending", [b.address, a.address]);
  await reverts(ledger, t, await endorse(ledger, t, [a, a, b, c]), "EndorsersNotAscending", [a.address, a.address]);
});

test("the second form of a signature is none", async () => {
  const t = transition();
  const signatures = await endorse(ledger, t, [a, b, c]);
  const { r, s, yParity } = viem.parseSignature(signatures[1]);
  const flipped = viem.serializeSignature({ r, s: viem.toHex(N - BigInt(s), { size: 32 }), yParity: 1 - yParity });
  // The curve takes it for the same signer's.
  assert.equal(await signer(ledger, t, flipped), b.address);
  await reverts(ledger, t, [signatures[0], flipped, signatures[2]], "MalformedEndorsement", [1n]);
});

test("what is no signature is refused", async () => {
  const t = transition();
  const signatures = await endorse(ledger, t, [a, b, c]);
  const { r, s, yParity } = viem.parseSignature(signatures[2]);
  const compact = viem.serializeCompactSignature(viem.signatureToCompactSignature({ r, s, yParity }));
  const zeros = `0x${"00".repeat(65)}`;
  for (const wrong of ["0x", zeros, compact, `${signatures[2]}00`, signatures[2].slice(0, -2), `${signatures[2].slice(0, -2)}1d`])
    await reverts(ledger, t, [signatures[0], signatures[1], wrong], "MalformedEndorsement", [2n]);
});

test("an endorsement is of this very transition, whatever part differs", async () => {
  const t = await whole();
  const signatures = await endorse(ledger, t, [a, b, c]);
  const others = [
    { id: transition().id },
    { inputs: [] },
    { inputs: t.reads, reads: t.inputs },
    { reads: [] },
    { reads: [...t.reads, ...t.inputs] },
    { outputs: [...t.outputs].reverse() },
    { outputs: t.outputs.slice(1) },
    { outputs: [...t.outputs, state()] },
    { data: "0xc0ffef" },
    { data: "0x" },
  ];
  for (const change of others) {
    const other = { ...t, ...change };
    // A signature of something else is, to the chain, one of somebody whom nobody knows.
    const unknown = await signer(ledger, other, signatures[0]);
    await reverts(ledger, other, signatures, "EndorserNotMember", [unknown]);
  }
  await carryOut(ledger, t, signatures);
});

test("an endorsement for another contract is none here", async () => {
  const t = transition();
  const signatures = await endorse(all, t, members);
  await reverts(ledger, t, signatures, "EndorserNotMember", [await signer(ledger, t, signatures[0])]);
  await carryOut(all, t, signatures);
});

test("an endorsement for another chain is none here, at the same address too", async () => {
  const t = transition();
  const other = { ...ledger, chainId: chain.id + 1 };
  const signatures = await endorse(other, t, [a, b, c]);
  await reverts(ledger, t, signatures, "EndorserNotMember", [await signer(ledger, t, signatures[0])]);
  // Where the other chain is a real one, its contract takes them, and does not take this one's.
  const twin = await startChain(other.chainId);
  try {
    await createEndorsedLedger(twin, members, REQUIRED).then((created) => assert.equal(created.address, ledger.address));
    const ours = await endorse(ledger, t, [a, b, c]);
    const error = await twin.revert(ledger.name, ledger.address, "transition", [...args(t), ours]);
    assert.equal(error.name, "EndorserNotMember");
    await twin.carryOut(ledger.name, ledger.address, "transition", [...args(t), signatures]);
  } finally {
    twin.stop();
  }
});

test("an endorsement holds for one transition, once", async () => {
  const t = transition({ outputs: [state()] });
  const signatures = await endorse(ledger, t, [a, b, c]);
  const { blockNumber } = await carryOut(ledger, t, signatures);
  await reverts(ledger, t, signatures, "DuplicateTransition", [t.id, blockNumber]);
  await reverts(ledger, t, await endorse(ledger, t, [c, d, e]), "DuplicateTransition", [t.id, blockNumber]);
});

test("the contract tells the domain and the digest that members sign", async () => {
  const t = await whole();
  const [, name, version, chainId, verifyingContract] = await chain.read(ledger.name, ledger.address, "eip712Domain");
  assert.deepEqual([name, version, chainId, verifyingContract], ["millrace", "1", BigInt(chain.id), ledger.address]);
  const [signature] = await endorse(ledger, t, [a]);
  assert.equal(await signer(ledger, t, signature), a.address);
  const [addresses, required] = await chain.read(ledger.name, ledger.address, "endorsers");
  assert.deepEqual([addresses, required], [members.map((member) => member.address), BigInt(REQUIRED)]);
});

test("it needs members, each once, in order, and requires from one to all of them", async () => {
  const refused = (group, required, name, values) =>
    chain.refuses("EndorsedLedger", ledger.factory, endorsedConfig(group, required), name, values);
  await refused([], 0, "NoMembers", []);
  await refused([a, a], 1, "MembersNotAscending", [a.address, a.address]);
  await refused([b, a], 2, "MembersNotAscending", [b.address, a.address]);
  await refused([a, b], 0, "BadRequirement", [0n, 2n]);
  await refused([a, b], 3, "BadRequirement", [3n, 2n]);
  for (const required of [1, 2]) await createEndorsedLedger(chain, [a, b], required);
});

test("every error has been met", () => {
  // The constructor's, of a name that is too long: it is fixed.
  assert.deepEqual(unmet("EndorsedLedger", ["InvalidShortString", "StringTooLong"]), []);
});

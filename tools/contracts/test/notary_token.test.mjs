// The notary token: who may submit, and all that a ledger keeps.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Status, accounts, args, artifact, createNotaryToken, notaryConfig, startChain, state, transition, unmet, viem } from "../testing/kit.mjs";
import { keepsALedger } from "../testing/ledger.mjs";

const [first, second, third, stranger] = accounts;
const notaries = [first, second, third];
let chain, token;
before(async () => {
  chain = await startChain();
  token = await createNotaryToken(chain, notaries);
});
after(() => chain?.stop());

keepsALedger(createNotaryToken);

const carryOut = (t, account) => chain.carryOut("NotaryToken", token.address, "transition", args(t), account);
const reverts = (t, name, values, account) => chain.reverts({ name, args: values }, false, "NotaryToken", token.address, "transition", args(t), account);

test("each of the notaries may submit", async () => {
  for (const notary of notaries) await carryOut(transition({ outputs: [state()] }), notary);
});

test("nobody else may, and an attempt changes nothing", async () => {
  const [input, output] = [state(), state()];
  await carryOut(transition({ outputs: [input] }), first);
  const t = transition({ inputs: [input], outputs: [output] });
  await reverts(t, "NotNotary", [stranger.address], stranger);
  assert.equal(await chain.read("NotaryToken", token.address, "status", [input]), Status.Unspent);
  assert.equal(await chain.read("NotaryToken", token.address, "status", [output]), Status.Unknown);
  await carryOut(t, second);
});

test("a stranger hears that it is none of the notaries before anything else", async () => {
  const t = transition({ inputs: [state()] });
  await reverts(t, "NotNotary", [stranger.address], stranger);
  const done = transition();
  await carryOut(done, first);
  await reverts(done, "NotNotary", [stranger.address], stranger);
});

test("one notary cannot repeat what another has submitted", async () => {
  const t = transition({ outputs: [state()] });
  const { blockNumber } = await carryOut(t, first);
  await reverts(t, "DuplicateTransition", [t.id, blockNumber], third);
});

test("no ether is taken", async () => {
  const call = { to: token.address, account: first.address, value: 1n };
  await assert.rejects(chain.client.call(call), /revert/);
  const data = viem.encodeFunctionData({ abi: artifact("NotaryToken").abi, functionName: "transition", args: args(transition()) });
  await assert.rejects(chain.client.call({ ...call, data }), /revert/);
  await chain.client.call({ ...call, data, value: 0n });
});

test("it needs notaries, each once, in order", async () => {
  const refused = (notaries, name, values) => chain.refuses("NotaryToken", token.factory, notaryConfig(notaries), name, values);
  const zero = { address: viem.zeroAddress };
  await refused([], "NoMembers", []);
  await refused([first, first], "MembersNotAscending", [first.address, first.address]);
  await refused([second, first], "MembersNotAscending", [second.address, first.address]);
  await refused([zero], "MembersNotAscending", [zero.address, zero.address]);
});

test("every error has been met", () => assert.deepEqual(unmet("NotaryToken"), []));

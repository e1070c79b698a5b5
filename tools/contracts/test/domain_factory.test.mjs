// The factory of a domain: what it creates is registered, once, where it was foretold.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accounts, args, artifact, deployFactory, hash, notaryConfig, startChain, transition, unmet, viem } from "../testing/kit.mjs";

const [notary, other, stranger] = accounts;
const CODE_BYTES_MAX = 24_576;
/** Of a minimal proxy, before its configuration. */
const PROXY_BYTES = 45;

let chain, factory;
before(async () => {
  chain = await startChain();
  factory = await deployFactory(chain, "NotaryToken");
});
after(() => chain?.stop());

let fresh = 0;
const id = () => hash("instance", fresh++);
const create = async (id, config, account = notary) => {
  const receipt = await chain.carryOut("DomainFactory", factory, "create", [id, config], account);
  return { receipt, events: chain.events("DomainFactory", receipt) };
};
const foretold = (...values) => chain.read("DomainFactory", factory, "addressOf", values);
const instanceBlock = (instance) => chain.read("DomainFactory", factory, "instanceBlock", [instance]);
const reverts = (values, name, args) => chain.reverts({ name, args }, false, "DomainFactory", factory, "create", values);

test("an instance is created where it was foretold, registered, and told by an event", async () => {
  const values = [id(), notaryConfig([notary, other], "0xc0ffee")];
  const instance = await foretold(...values);
  assert.equal(await instanceBlock(instance), 0n);
  const { receipt, events } = await create(...values);
  assert.deepEqual(events, [{ name: "InstanceCreated", args: { id: values[0], instance, config: values[1] }, address: factory }]);
  assert.equal(await instanceBlock(instance), receipt.blockNumber);
  assert.equal(await chain.read("NotaryToken", instance, "config"), values[1]);
  assert.deepEqual(await chain.read("NotaryToken", instance, "notaries"), [notary.address, other.address]);
});

test("the same id and configuration create once, whoever asks, and the error names the instance", async () => {
  const values = [id(), notaryConfig([notary])];
  const { receipt, events } = await create(...values);
  const duplicate = { name: "DuplicateInstance", args: [values[0], events[0].args.instance, receipt.blockNumber] };
  await chain.reverts(duplicate, false, "DomainFactory", factory, "create", values, stranger);
});

test("nobody can take an instance's place by using its id first", async () => {
  const [shared, wanted] = [id(), notaryConfig([notary])];
  const instance = await foretold(shared, wanted);
  const squatted = await create(shared, notaryConfig([stranger]), stranger);
  assert.notEqual(squatted.events[0].args.instance, instance);
  const { events } = await create(shared, wanted);
  assert.equal(events[0].args.instance, instance);
});

test("an instance that a reorg takes back is unregistered, and is created anew at the same address", async () => {
  const values = [id(), notaryConfig([notary])];
  const { events } = await create(...values);
  const { instance } = events[0].args;
  await chain.reorg(1);
  assert.equal(await instanceBlock(instance), 0n);
  const again = await create(...values);
  assert.equal(again.events[0].args.instance, instance);
});

test("instances of one factory share nothing but their code", async () => {
  const first = (await create(id(), notaryConfig([notary]))).events[0].args.instance;
  const second = (await create(id(), notaryConfig([notary]))).events[0].args.instance;
  const t = transition({ outputs: [hash("in both")] });
  await chain.carryOut("NotaryToken", first, "transition", args(t));
  assert.equal(await chain.read("NotaryToken", second, "transitionBlock", [t.id]), 0n);
  await chain.carryOut("NotaryToken", second, "transition", args(t));
});

test("a contract that the factory did not create is none of the domain", async () => {
  assert.equal(await instanceBlock(await chain.read("DomainFactory", factory, "implementation")), 0n);
  assert.equal(await instanceBlock(stranger.address), 0n);
});

test("a configuration that cannot be decoded is refused", async () => {
  await reverts([id(), "0x"], "BadConfig", ["0x"]);
  await reverts([id(), "0xc0ffee"], "BadConfig", ["0x"]);
  await reverts([id(), notaryConfig([notary]).slice(0, -64)], "BadConfig", ["0x"]);
});

test("a configuration is as long as a contract's code can be, and not longer", async () => {
  const base = (notaryConfig([notary]).length - 2) / 2;
  // ABI pads bytes to words.
  const room = Math.floor((CODE_BYTES_MAX - PROXY_BYTES - base) / 32) * 32;
  await create(id(), notaryConfig([notary], `0x${"11".repeat(room)}`));
  await reverts([id(), notaryConfig([notary], `0x${"11".repeat(room + 32)}`)], "CloneArgumentsTooLong", []);
});

test("a factory needs an implementation", async () => {
  const { abi, bytecode } = artifact("DomainFactory");
  const data = viem.encodeDeployData({ abi, bytecode, args: [stranger.address] });
  const error = await chain.client.call({ data, account: notary.address }).catch((error) => error.walk((cause) => cause.data));
  assert.deepEqual(viem.decodeErrorResult({ abi, data: error.data }).args, [stranger.address]);
});

test("every error has been met", () => {
  // create2 fails on an address that is taken, which the registry has answered for, or when it is sent value, which it is not. The
  // implementation's absence is met by a deployment, above.
  assert.deepEqual(unmet("DomainFactory", ["Create2EmptyBytecode", "FailedDeployment", "InsufficientBalance", "NoImplementation"]), []);
});

// What the tests share: a chain, the committed artifacts, instances, and transitions.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// viem and anvil are pinned where the project's other nodes and clients are.
const npm = new URL("../../npm/", import.meta.url);
const require = createRequire(npm);
export const viem = require("viem");
const { mnemonicToAccount } = require("viem/accounts");

const MNEMONIC = "test test test test test test test test test test test junk";
const GAS = 10_000_000n;
/** However busy the machine is, an anvil that does not answer for so long does not run. */
const PATIENCE_MS = 60_000;

/** Accounts that can sign and pay, ascending by address as contracts want their members. */
export const accounts = [...Array(20).keys()]
  .map((addressIndex) => mnemonicToAccount(MNEMONIC, { addressIndex }))
  .sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1));

export const Status = { Unknown: 0, Unspent: 1, Spent: 2 };

const artifacts = new URL("../artifacts/", import.meta.url);
export const artifact = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, artifacts), "utf8"));

/** A hash that depends on `parts` alone: an id of a state or of a transition. */
export const hash = (...parts) => viem.keccak256(viem.stringToHex(parts.join("/")));

let fresh = 0;
/** A transition with an id of its own; what is not given is empty. */
export const transition = (given = {}) => ({ id: hash("transition", fresh++), inputs: [], reads: [], outputs: [], data: "0x", ...given });
/** A state id that was never used before. */
export const state = () => hash("state", fresh++);
export const args = ({ id, inputs, reads, outputs, data }) => [id, inputs, reads, outputs, data];

function anvil() {
  const scope = new URL("node_modules/@foundry-rs/", npm);
  const packages = existsSync(scope) ? readdirSync(scope) : [];
  const program = packages.map((name) => new URL(`${name}/bin/anvil`, scope)).find(existsSync);
  if (!program) throw new Error("no anvil in tools/npm/node_modules: run `cargo xtask setup`");
  return program.pathname;
}

/** Starts an anvil that mines when it is told to, so that a test decides what shares a block. */
export async function startChain(chainId = 31337) {
  const options = ["--port", "0", "--chain-id", String(chainId), "--no-mining", "--order", "fifo", "--accounts", "20", "--mnemonic", MNEMONIC];
  const child = spawn(anvil(), options, { stdio: ["ignore", "pipe", "inherit"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const address = await new Promise((resolve, reject) => {
    child.once("error", reject);
    const late = () => reject(new Error(`anvil does not listen after ${PATIENCE_MS} ms`));
    setTimeout(late, PATIENCE_MS).unref();
    child.once("exit", (code) => reject(new Error(`anvil ended with ${code} before it listened`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const listening = /^Listening on (\S+)/.exec(line);
      if (listening) resolve(listening[1]);
    });
  });
  return new Chain(`http://${address}`, chainId, () => {
    process.removeListener("exit", kill);
    kill();
  });
}

class Chain {
  constructor(url, id, stop) {
    const chain = { id, name: "test", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [url] } } };
    // Nothing may be answered from a cache: blocks come as fast as the tests tell.
    this.client = viem.createClient({ chain, transport: viem.http(url, { batch: true, retryCount: 0, timeout: PATIENCE_MS }), cacheTime: 0 });
    this.client = this.client.extend(viem.publicActions).extend(viem.walletActions).extend(viem.testActions({ mode: "anvil" }));
    this.id = id;
    this.stop = stop;
  }

  /** Sends into the pool; gives the hash. */
  send(name, address, functionName, values, account = accounts[0]) {
    return this.client.writeContract({ abi: artifact(name).abi, address, functionName, args: values, account: account.address, gas: GAS });
  }

  /** Mines a block with all that is in the pool; gives the receipts of `hashes`. */
  async mine(...hashes) {
    await this.client.mine({ blocks: 1 });
    return Promise.all(hashes.map((hash) => this.client.getTransactionReceipt({ hash })));
  }

  /** Sends and mines; the receipt, of success. */
  async carryOut(...call) {
    const [receipt] = await this.mine(await this.send(...call));
    assert.equal(receipt.status, "success");
    return receipt;
  }

  read(name, address, functionName, values = []) {
    return this.client.readContract({ abi: artifact(name).abi, address, functionName, args: values });
  }

  async deploy(name, values = []) {
    const { abi, bytecode } = artifact(name);
    const hash = await this.client.deployContract({ abi, bytecode, args: values, account: accounts[0].address, gas: GAS });
    const [receipt] = await this.mine(hash);
    assert.equal(receipt.status, "success");
    return viem.getAddress(receipt.contractAddress);
  }

  /** The error that a call reverts with after what the pool holds: its name and arguments. */
  async revert(name, address, functionName, values, account = accounts[0]) {
    const call = { abi: artifact(name).abi, address, functionName, args: values, account: account.address, gas: GAS, blockTag: "pending" };
    try {
      await this.client.simulateContract(call);
    } catch (error) {
      const reverted = error.walk?.((cause) => cause instanceof viem.ContractFunctionRevertedError);
      if (!reverted?.data) throw error;
      return { name: reverted.data.errorName, args: reverted.data.args ?? [] };
    }
    return undefined;
  }

  /** Asserts that a call reverts with this error, whether it may be tried again, and that it does so in a block too. */
  async reverts(expected, retryable, name, address, functionName, values, account = accounts[0]) {
    const error = await this.revert(name, address, functionName, values, account);
    assert.deepEqual(error, expected);
    assert.equal(artifact(name).retryable.includes(error.name), retryable, `${error.name} may be tried again: ${!retryable}`);
    const [receipt] = await this.mine(await this.send(name, address, functionName, values, account));
    assert.equal(receipt.status, "reverted");
    assert.deepEqual(receipt.logs, []);
    seen.add(`${name}.${error.name}`);
  }

  /** Asserts that a factory does not create an instance of `name` with this configuration, and with which error `name` refuses it. */
  async refuses(name, factory, config, errorName, values) {
    const reason = viem.encodeErrorResult({ abi: artifact(name).abi, errorName, args: values });
    await this.reverts({ name: "BadConfig", args: [reason] }, false, "DomainFactory", factory, "create", [hash("refused", fresh++), config]);
    seen.add(`${name}.${errorName}`);
  }

  /** The events of a receipt: name and arguments, in order. */
  events(name, receipt) {
    return viem.parseEventLogs({ abi: artifact(name).abi, logs: receipt.logs }).map((log) => ({ name: log.eventName, args: log.args, address: viem.getAddress(log.address) }));
  }

  /** Takes the last blocks away and mines as many empty ones in their place. */
  reorg(depth) {
    return this.client.request({ method: "anvil_reorg", params: [depth, []] });
  }
}

const seen = new Set();
/** Errors of a contract that no test in this process has met, but for those named. */
export function unmet(name, unreachable = []) {
  const errors = artifact(name).abi.filter((item) => item.type === "error").map((item) => item.name);
  return errors.filter((error) => !seen.has(`${name}.${error}`) && !unreachable.includes(error));
}

/** A factory of the domain whose instances are `name`s. */
export async function deployFactory(chain, name) {
  return chain.deploy("DomainFactory", [await chain.deploy(name)]);
}

export const notaryConfig = (notaries, data = "0x") =>
  viem.encodeAbiParameters([{ type: "address[]" }, { type: "bytes" }], [notaries.map((notary) => notary.address), data]);
export const endorsedConfig = (members, required, data = "0x") =>
  viem.encodeAbiParameters(
    [{ type: "address[]" }, { type: "uint256" }, { type: "bytes" }],
    [members.map((member) => member.address), BigInt(required), data],
  );

// A ledger is {name, factory, address, chainId, gasUsed, submit}: `gasUsed` by its creation, and `submit` gives the arguments of its `transition`, with all that authorises it.
export async function createNotaryToken(chain, notaries = [accounts[0]]) {
  const ledger = await createInstance(chain, "NotaryToken", notaryConfig(notaries));
  return { ...ledger, submit: async (t) => args(t) };
}

export async function createEndorsedLedger(chain, members = accounts.slice(0, 3), required = members.length) {
  const ledger = await createInstance(chain, "EndorsedLedger", endorsedConfig(members, required));
  return { ...ledger, submit: async (t) => [...args(t), await endorse(ledger, t, members.slice(0, required))] };
}

async function createInstance(chain, name, config) {
  const factory = await deployFactory(chain, name);
  const receipt = await chain.carryOut("DomainFactory", factory, "create", [hash("create"), config]);
  const { instance } = chain.events("DomainFactory", receipt)[0].args;
  return { name, factory, address: instance, chainId: chain.id, gasUsed: receipt.gasUsed };
}

/** The EIP-712 signatures of a transition, in the order of `signers`. */
export function endorse({ address, chainId }, t, signers) {
  const typed = {
    domain: { name: "millrace", version: "1", chainId, verifyingContract: address },
    types: {
      Transition: [
        { name: "id", type: "bytes32" },
        { name: "inputs", type: "bytes32[]" },
        { name: "reads", type: "bytes32[]" },
        { name: "outputs", type: "bytes32[]" },
        { name: "data", type: "bytes" },
      ],
    },
    primaryType: "Transition",
    message: t,
  };
  return Promise.all(signers.map((signer) => signer.signTypedData(typed)));
}

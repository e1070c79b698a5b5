// Random transitions, right ones and wrong ones, several to a block, with reorgs: contract and model agree on each outcome and error,
// and what an indexer makes of the events alone is the model's unspent set, in which the domain's value is conserved.
//
// One seed is fixed, one is new each time; `SEED=N node --test test/random.test.mjs` runs another one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Status, accounts, artifact, createEndorsedLedger, createNotaryToken, hash, startChain } from "../testing/kit.mjs";

const BLOCKS = 30;
const TRANSITIONS_PER_BLOCK_MAX = 5;
const REORG_DEPTH_MAX = 3;
/** One block in so many is followed by a reorg. */
const REORG_EVERY = 6;
/** One transition in so many has a mistake. */
const WRONG_EVERY = 3;
const STATES_MAX = 4;

/** A sequence of numbers that its seed fixes (mulberry32). */
class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }
  /** 0 … bound − 1. */
  below(bound) {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  }
  pick(list) {
    return list[this.below(list.length)];
  }
  /** Up to `count` different ones. */
  some(list, count) {
    const left = [...list];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(this.below(left.length), 1)[0]);
  }
}

/** What the contract should hold. */
class Model {
  constructor(from = { status: [], ids: [], minted: 0 }) {
    this.status = new Map(from.status);
    this.ids = new Map(from.ids);
    this.minted = from.minted;
  }
  copy() {
    return new Model(this);
  }
  of(state) {
    return this.status.get(state) ?? Status.Unknown;
  }
  with(status) {
    return [...this.status].filter(([, found]) => found === status).map(([state]) => state);
  }
  /** Carries out a transition in a block; gives the error if it cannot be, and is then as it was. */
  apply({ id, inputs, reads, outputs }, blockNumber) {
    if (this.ids.has(id)) return { name: "DuplicateTransition", args: [id, this.ids.get(id)] };
    const next = this.copy();
    const moves = [
      [inputs, Status.Unspent, Status.Spent, "InputUnavailable"],
      [reads, Status.Unspent, Status.Unspent, "ReadUnavailable"],
      [outputs, Status.Unknown, Status.Unspent, "OutputExists"],
    ];
    for (const [states, from, to, name] of moves) {
      for (const state of states) {
        if (next.of(state) !== from) return { name, args: [state, next.of(state)] };
        next.status.set(state, to);
      }
    }
    this.status = next.status;
    this.ids.set(id, blockNumber);
    return undefined;
  }
}

/** A domain of coins: what each is worth, which the chain never learns, and transitions that keep their sum but for what is minted. */
class Coins {
  constructor(random) {
    this.random = random;
    this.worth = new Map();
    this.used = 0;
  }
  id() {
    return hash("random", this.used++);
  }
  /** Coins of this sum. */
  coins(sum) {
    const parts = [];
    for (let left = sum; left > 0; ) {
      const part = parts.length === STATES_MAX - 1 ? left : 1 + this.random.below(left);
      parts.push(part);
      left -= part;
    }
    return parts.map((part) => {
      const coin = this.id();
      this.worth.set(coin, part);
      return coin;
    });
  }
  sum(coins) {
    return coins.reduce((sum, coin) => sum + this.worth.get(coin), 0);
  }
  /** A right transition: mints, or transfers. */
  transition(model) {
    const unspent = model.with(Status.Unspent);
    const some = this.random.some(unspent, 1 + this.random.below(STATES_MAX) + 2);
    const inputs = this.random.below(4) === 0 ? [] : some.slice(2);
    const minted = inputs.length === 0 ? 1 + this.random.below(1000) : 0;
    return { id: this.id(), inputs, reads: some.slice(0, this.random.below(3)), outputs: this.coins(this.sum(inputs) + minted), data: "0x", minted };
  }
  /** The same with a mistake, as far as the model has what it takes. */
  spoil(t, model) {
    const [unspent, spent] = [model.with(Status.Unspent), model.with(Status.Spent)];
    const ids = [...model.ids.keys()];
    const any = (list) => (list.length > 0 ? [this.random.pick(list)] : []);
    const mistakes = [
      () => ({ inputs: [...t.inputs, ...any(spent)] }),
      () => ({ inputs: [...t.inputs, this.id()] }),
      () => ({ inputs: [...t.inputs, ...any(t.inputs)] }),
      () => ({ inputs: [...t.inputs, ...any(t.outputs)] }),
      () => ({ reads: [...t.reads, ...any(spent)] }),
      () => ({ reads: [...t.reads, this.id()] }),
      () => ({ reads: [...t.reads, ...any(t.inputs)] }),
      () => ({ reads: [...t.reads, ...any(t.outputs)] }),
      () => ({ outputs: [...t.outputs, ...any(unspent)] }),
      () => ({ outputs: [...t.outputs, ...any(spent)] }),
      () => ({ outputs: [...t.outputs, ...any(t.outputs)] }),
      () => ({ outputs: [...any(t.inputs), ...t.outputs] }),
      () => (ids.length > 0 ? { id: this.random.pick(ids) } : {}),
    ];
    return { ...t, ...this.random.pick(mistakes)() };
  }
}

/** What an indexer makes of the events alone. */
async function indexed(chain, { name, address }) {
  const logs = await chain.client.getContractEvents({ abi: artifact(name).abi, address, eventName: "Transition", fromBlock: 0n });
  const model = new Model();
  for (const { args, blockNumber } of logs) assert.equal(model.apply(args, blockNumber), undefined, "an event tells what cannot be");
  return model;
}

async function run(chain, create, seed) {
  const random = new Random(seed);
  const ledger = await create(chain);
  const coins = new Coins(random);
  let model = new Model();
  /** The model before each of the last blocks. */
  const past = [];
  const met = new Set();
  for (let block = 0; block < BLOCKS; block++) {
    past.push(model.copy());
    const blockNumber = (await chain.client.getBlockNumber()) + 1n;
    const expected = [];
    for (let n = random.below(TRANSITIONS_PER_BLOCK_MAX + 1); n > 0; n--) {
      const right = coins.transition(model);
      const t = random.below(WRONG_EVERY) === 0 ? coins.spoil(right, model) : right;
      const call = [ledger.name, ledger.address, "transition", await ledger.submit(t)];
      const error = model.apply(t, blockNumber);
      // On top of what the pool holds already.
      assert.deepEqual(await chain.revert(...call), error);
      expected.push([await chain.send(...call), error]);
      if (error === undefined) {
        // No mistake is one that only the domain could see.
        assert.equal(coins.sum(t.outputs), coins.sum(t.inputs) + t.minted);
        model.minted += t.minted;
      }
      met.add(error?.name ?? "success");
    }
    const receipts = await chain.mine(...expected.map(([hash]) => hash));
    assert.deepEqual(receipts.map((receipt) => receipt.status), expected.map(([, error]) => (error ? "reverted" : "success")));
    if (random.below(REORG_EVERY) === 0) {
      const depth = Math.min(1 + random.below(REORG_DEPTH_MAX), past.length);
      await chain.reorg(depth);
      model = past.splice(-depth)[0];
      // The empty blocks in their place.
      for (let n = 0; n < depth; n++) past.push(model.copy());
    }
  }
  const fromEvents = await indexed(chain, ledger);
  assert.deepEqual(fromEvents.status, model.status);
  assert.deepEqual(fromEvents.ids, model.ids);
  assert.equal(coins.sum(model.with(Status.Unspent)), model.minted, "value is conserved");
  const read = (name, key) => chain.read(ledger.name, ledger.address, name, [key]);
  const ids = Array.from({ length: coins.used }, (_, n) => hash("random", n));
  assert.deepEqual(await Promise.all(ids.map((id) => read("status", id))), ids.map((id) => model.of(id)));
  assert.deepEqual(await Promise.all(ids.map((id) => read("transitionBlock", id))), ids.map((id) => model.ids.get(id) ?? 0n));
  return met;
}

describe("random transitions", () => {
  let chain;
  before(async () => {
    chain = await startChain();
  });
  after(() => chain?.stop());

  const seeds = process.env.SEED ? [Number(process.env.SEED)] : [1, Date.now() % 1_000_000_000];
  const instances = { NotaryToken: createNotaryToken, EndorsedLedger: (on) => createEndorsedLedger(on, accounts.slice(0, 2)) };
  for (const seed of seeds) {
    for (const [name, create] of Object.entries(instances)) {
      test(`${name}, seed ${seed}`, async () => {
        const met = await run(chain, create, seed);
        if (seed === 1) assert.deepEqual([...met].sort(), ["DuplicateTransition", "InputUnavailable", "OutputExists", "ReadUnavailable", "success"]);
      });
    }
  }
});

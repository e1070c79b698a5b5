// What every ledger keeps, whoever may submit to it: the unspent set and exactly-once ids.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Status, hash, startChain, state, transition } from "./kit.mjs";

/** Tests an instance that `create` makes on a chain. */
export function keepsALedger(create) {
  describe("as a ledger", () => {
    let chain, ledger;
    before(async () => {
      chain = await startChain();
      ledger = await create(chain);
    });
    after(() => chain?.stop());

    const send = async (t) => chain.send(ledger.name, ledger.address, "transition", await ledger.submit(t));
    const carryOut = async (t) => chain.carryOut(ledger.name, ledger.address, "transition", await ledger.submit(t));
    const reverts = async (t, name, args, retryable) =>
      chain.reverts({ name, args }, retryable, ledger.name, ledger.address, "transition", await ledger.submit(t));
    const status = (id) => chain.read(ledger.name, ledger.address, "status", [id]);
    const transitionBlock = (id) => chain.read(ledger.name, ledger.address, "transitionBlock", [id]);
    /** States that have been created. */
    const created = async (count) => {
      const outputs = Array.from({ length: count }, state);
      await carryOut(transition({ outputs }));
      return outputs;
    };

    test("a transition spends, reads and creates, and one event tells it whole", async () => {
      const [spent, read] = await created(2);
      const t = transition({ inputs: [spent], reads: [read], outputs: [state(), state()], data: "0xc0ffee" });
      const receipt = await carryOut(t);
      assert.deepEqual(chain.events(ledger.name, receipt).map(({ name, args }) => ({ name, args })), [{ name: "Transition", args: t }]);
      assert.equal(receipt.logs[0].topics[1], t.id, "a look-up by id finds the event");
      assert.equal(await transitionBlock(t.id), receipt.blockNumber);
      assert.deepEqual(await Promise.all([spent, read, ...t.outputs].map(status)), [
        Status.Spent,
        Status.Unspent,
        Status.Unspent,
        Status.Unspent,
      ]);
    });

    test("an empty transition uses its id and nothing else", async () => {
      const t = transition();
      await carryOut(t);
      await reverts(t, "DuplicateTransition", [t.id, await transitionBlock(t.id)], false);
    });

    test("an id is carried out once, with whatever content", async () => {
      const [input] = await created(1);
      const t = transition({ inputs: [input], outputs: [state()] });
      const { blockNumber } = await carryOut(t);
      await reverts(t, "DuplicateTransition", [t.id, blockNumber], false);
      // Its input is gone, too: the id is what the client must hear of.
      await reverts(transition({ id: t.id, outputs: [state()] }), "DuplicateTransition", [t.id, blockNumber], false);
    });

    test("a reverted transition leaves its id unused", async () => {
      const missing = state();
      const t = transition({ inputs: [missing], outputs: [state()] });
      await reverts(t, "InputUnavailable", [missing, Status.Unknown], true);
      assert.equal(await transitionBlock(t.id), 0n);
      await carryOut(transition({ outputs: [missing] }));
      await carryOut(t);
    });

    test("an input must be unspent", async () => {
      const [input] = await created(1);
      await carryOut(transition({ inputs: [input] }));
      await reverts(transition({ inputs: [input] }), "InputUnavailable", [input, Status.Spent], true);
      const unknown = state();
      await reverts(transition({ inputs: [unknown] }), "InputUnavailable", [unknown, Status.Unknown], true);
    });

    test("a state cannot be spent twice in one transition", async () => {
      const [input, other] = await created(2);
      await reverts(transition({ inputs: [input, other, input] }), "InputUnavailable", [input, Status.Spent], true);
      assert.deepEqual(await Promise.all([input, other].map(status)), [Status.Unspent, Status.Unspent], "what reverts leaves all as it was");
    });

    test("a transition cannot spend or read what it creates itself", async () => {
      const output = state();
      await reverts(transition({ inputs: [output], outputs: [output] }), "InputUnavailable", [output, Status.Unknown], true);
      await reverts(transition({ reads: [output], outputs: [output] }), "ReadUnavailable", [output, Status.Unknown], true);
    });

    test("what is read must be unspent, and is not spent by it", async () => {
      const [read, spent] = await created(2);
      await carryOut(transition({ reads: [read] }));
      await carryOut(transition({ reads: [read, read] }));
      await carryOut(transition({ inputs: [spent] }));
      await reverts(transition({ reads: [read, spent] }), "ReadUnavailable", [spent, Status.Spent], true);
      await reverts(transition({ inputs: [read], reads: [read] }), "ReadUnavailable", [read, Status.Spent], true);
      const unknown = state();
      await reverts(transition({ reads: [unknown] }), "ReadUnavailable", [unknown, Status.Unknown], true);
    });

    test("a state is created once, also after it was spent", async () => {
      const [output] = await created(1);
      await reverts(transition({ outputs: [state(), output] }), "OutputExists", [output, Status.Unspent], false);
      await carryOut(transition({ inputs: [output] }));
      await reverts(transition({ outputs: [output] }), "OutputExists", [output, Status.Spent], false);
      const twice = state();
      await reverts(transition({ outputs: [twice, twice] }), "OutputExists", [twice, Status.Unspent], false);
      const [replaced] = await created(1);
      await reverts(transition({ inputs: [replaced], outputs: [replaced] }), "OutputExists", [replaced, Status.Spent], false);
    });

    test("a chain of transitions lands in one block, in order", async () => {
      const states = Array.from({ length: 20 }, state);
      const chained = states.map((output, n) => transition({ inputs: n === 0 ? [] : [states[n - 1]], outputs: [output] }));
      const hashes = [];
      for (const t of chained) hashes.push(await send(t));
      const receipts = await chain.mine(...hashes);
      assert.ok(receipts.every((receipt) => receipt.status === "success"));
      assert.equal(new Set(receipts.map((receipt) => receipt.blockNumber)).size, 1);
      assert.equal(await status(states.at(-2)), Status.Spent);
      assert.equal(await status(states.at(-1)), Status.Unspent);
    });

    test("of two transitions in one block that spend the same state one is carried out", async () => {
      const [input] = await created(1);
      const rivals = [transition({ inputs: [input], outputs: [state()] }), transition({ inputs: [input], outputs: [state()] })];
      const hashes = [];
      for (const t of rivals) hashes.push(await send(t));
      const receipts = await chain.mine(...hashes);
      assert.deepEqual(receipts.map((receipt) => receipt.status), ["success", "reverted"]);
      assert.deepEqual(await Promise.all([rivals[0].outputs[0], rivals[1].outputs[0]].map(status)), [Status.Unspent, Status.Unknown]);
    });

    test("an id that a reorg takes back is unused again, and the same transition is carried out anew", async () => {
      const [input] = await created(1);
      const first = transition({ inputs: [input], outputs: [state()] });
      const second = transition({ inputs: first.outputs, outputs: [state()] });
      const before = await carryOut(first);
      await carryOut(second);
      await chain.reorg(2);
      assert.deepEqual(await Promise.all([first.id, second.id].map(transitionBlock)), [0n, 0n]);
      assert.deepEqual(await Promise.all([input, ...first.outputs, ...second.outputs].map(status)), [Status.Unspent, Status.Unknown, Status.Unknown]);
      // The later one cannot come before what it builds on, and may come after it.
      await reverts(second, "InputUnavailable", [first.outputs[0], Status.Unknown], true);
      const again = await carryOut(first);
      await carryOut(second);
      assert.notEqual(again.blockHash, before.blockHash);
      const told = (receipt) => receipt.logs.map(({ address, topics, data }) => ({ address, topics, data }));
      assert.deepEqual(told(again), told(before), "the event is the same");
    });

    test("an implementation keeps no ledger of its own", async () => {
      const implementation = await chain.read("DomainFactory", ledger.factory, "implementation");
      const values = await ledger.submit(transition());
      await chain.reverts({ name: "NotAnInstance", args: [] }, false, ledger.name, implementation, "transition", values);
    });

    test("any id is as good as another: zero, and one that a state has too", async () => {
      const zero = `0x${"00".repeat(32)}`;
      const t = transition({ id: zero, outputs: [zero] });
      const { blockNumber } = await carryOut(t);
      await reverts(t, "DuplicateTransition", [zero, blockNumber], false);
      const shared = hash("shared by a transition and a state");
      await carryOut(transition({ id: shared, inputs: [zero], outputs: [shared] }));
      assert.equal(await status(shared), Status.Unspent);
    });
  });
}

// A contract that every client deploys, calls and reads back. Written by hand, so that no compiler is needed.
//
//   increment()      storage[0] += 1
//   anything else    returns storage[0], so count() does

export const bytecode = "0x601f8060095f395ff35f3560e01c63d09de08a146016575f545f5260205ff35b60015f54015f5500";

export const abi = [
  { type: "function", name: "increment", inputs: [], outputs: [], stateMutability: "nonpayable" },
  { type: "function", name: "count", inputs: [], outputs: [{ name: "", type: "uint256" }], stateMutability: "view" },
];

/** Transactions that are sent at once. */
export const MANY = 200;

/** Who gets the transfer with this number, and no other one. */
export const recipient = (offset, number) => "0x" + (BigInt(offset) + BigInt(number)).toString(16).padStart(40, "0");

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

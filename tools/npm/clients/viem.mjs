// viem against the facade: `node viem.mjs URL WS_URL FIRST_RECIPIENT`. Prints nothing if all is well.
import { createPublicClient, createWalletClient, http, parseEther, verifyMessage, verifyTypedData, webSocket } from "viem";
import { MANY, abi, bytecode, check, recipient } from "./counter.mjs";

const [url, wsUrl, offset] = process.argv.slice(2);
const chain = { id: 31337, name: "test", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [url] } } };
const wallet = createWalletClient({ chain, transport: http(url) });
const reader = createPublicClient({ chain, transport: http(url), pollingInterval: 100 });
const mined = (hash) => reader.waitForTransactionReceipt({ hash, timeout: 60_000 });

const [account] = await wallet.getAddresses();
check((await wallet.getChainId()) === 31337, "the chain's id");

const deployed = await mined(await wallet.deployContract({ abi, bytecode, account }));
check(deployed.status === "success" && deployed.contractAddress, "the contract is deployed");
const address = deployed.contractAddress;
const called = await mined(await wallet.writeContract({ abi, address, functionName: "increment", account }));
check(called.status === "success", "the contract is called");
check((await reader.readContract({ abi, address, functionName: "count" })) === 1n, "the call counts");

const before = await reader.getTransactionCount({ address: account, blockTag: "pending" });
const numbers = [...Array(MANY).keys()];
const hashes = await Promise.all(numbers.map((n) => wallet.sendTransaction({ account, to: recipient(offset, n), value: BigInt(n + 1) })));
check(new Set(hashes).size === MANY, "a hash for each");
const after = await reader.getTransactionCount({ address: account, blockTag: "pending" });
check(after === before + MANY, `the next nonce counts what was sent: ${before} to ${after}`);
const receipts = await Promise.all(hashes.map(mined));
check(receipts.every((receipt) => receipt.status === "success"), "all are mined");

const message = "hello";
const signature = await wallet.signMessage({ account, message });
check(await verifyMessage({ address: account, message, signature }), "a signed message");
const typed = {
  domain: { name: "Mail", chainId: 31337 },
  types: { Mail: [{ name: "to", type: "address" }, { name: "text", type: "string" }] },
  primaryType: "Mail",
  message: { to: account, text: "hello" },
};
check(await verifyTypedData({ ...typed, address: account, signature: await wallet.signTypedData({ account, ...typed }) }), "signed typed data");

// Blocks by subscription, and a transaction sent over the same WebSocket.
const socket = webSocket(wsUrl);
const listener = createPublicClient({ chain, transport: socket });
const block = new Promise((resolve, reject) => listener.watchBlockNumber({ onBlockNumber: resolve, onError: reject }));
const over = createWalletClient({ chain, transport: socket });
const last = await over.sendTransaction({ account, to: recipient(offset, MANY), value: 1n });
check((await mined(last)).status === "success", "sent over WebSocket");
check((await block) > 0n, "a block is told");
process.exit(0);

// ethers against the facade: `node ethers.mjs URL FIRST_RECIPIENT`. Prints nothing if all is well.
import { Contract, ContractFactory, JsonRpcProvider, verifyMessage, verifyTypedData } from "ethers";
import { MANY, abi, bytecode, check, recipient } from "./counter.mjs";

const [url, offset] = process.argv.slice(2);
const provider = new JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 100 });
const signer = await provider.getSigner(0);

const contract = await new ContractFactory(abi, bytecode, signer).deploy();
await contract.waitForDeployment();
const counter = new Contract(await contract.getAddress(), abi, signer);
const called = await (await counter.increment()).wait();
check(called.status === 1, "the contract is called");
check((await counter.count()) === 1n, "the call counts");

const numbers = [...Array(MANY).keys()];
const sent = await Promise.all(numbers.map((n) => signer.sendTransaction({ to: recipient(offset, n), value: n + 1 })));
check(new Set(sent.map((response) => response.hash)).size === MANY, "a hash for each");
check(new Set(sent.map((response) => response.nonce)).size === MANY, "a nonce for each");
const receipts = await Promise.all(sent.map((response) => response.wait(1, 60_000)));
check(receipts.every((receipt) => receipt.status === 1), "all are mined");

check(verifyMessage("hello", await signer.signMessage("hello")) === signer.address, "a signed message");
const [domain, types, value] = [{ name: "Mail", chainId: 31337 }, { Mail: [{ name: "text", type: "string" }] }, { text: "hello" }];
check(verifyTypedData(domain, types, value, await signer.signTypedData(domain, types, value)) === signer.address, "signed typed data");
check((await provider.getTransactionReceipt("0x" + "12".repeat(32))) === null, "an unknown receipt is null");
process.exit(0);

"""web3.py against the facade: `python web3_py.py URL FIRST_RECIPIENT`. Prints nothing if all is well."""

import asyncio
import sys


from eth_account import Account
from eth_account.messages import encode_defunct
from web3 import AsyncHTTPProvider, AsyncWeb3

MANY = 200
BYTECODE = "0x601f8060095f395ff35f3560e01c63d09de08a146016575f545f5260205ff35b60015f54015f5500"
ABI = [
    {"type": "function", "name": "increment", "inputs": [], "outputs": [], "stateMutability": "nonpayable"},
    {"type": "function", "name": "count", "inputs": [], "outputs": [{"name": "", "type": "uint256"}], "stateMutability": "view"},
]


async def main(url, offset):
    web3 = AsyncWeb3(AsyncHTTPProvider(url))
    mined = lambda sent: web3.eth.wait_for_transaction_receipt(sent, timeout=60, poll_latency=0.1)
    account = (await web3.eth.accounts)[0]
    web3.eth.default_account = account

    deployed = await mined(await web3.eth.contract(abi=ABI, bytecode=BYTECODE).constructor().transact())
    assert deployed["status"] == 1, deployed
    counter = web3.eth.contract(address=deployed["contractAddress"], abi=ABI)
    assert (await mined(await counter.functions.increment().transact()))["status"] == 1
    assert await counter.functions.count().call() == 1

    recipient = lambda number: web3.to_checksum_address(f"0x{offset + number:040x}")
    sends = [web3.eth.send_transaction({"to": recipient(number), "value": number + 1}) for number in range(MANY)]
    hashes = await asyncio.gather(*sends)
    assert len({bytes(sent) for sent in hashes}) == MANY, "a hash for each"
    receipts = await asyncio.gather(*(mined(sent) for sent in hashes))
    assert all(receipt["status"] == 1 for receipt in receipts)

    signature = (await web3.manager.coro_request("personal_sign", ["0x" + b"hello".hex(), account]))
    assert Account.recover_message(encode_defunct(text="hello"), signature=signature) == account, "a signed message"
    await web3.provider.disconnect()


asyncio.run(main(sys.argv[1], int(sys.argv[2], 0)))

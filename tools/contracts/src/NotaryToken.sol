// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DomainInstance} from "./DomainInstance.sol";
import {Members} from "./Members.sol";
import {StateLedger} from "./StateLedger.sol";

/// @title A token whose transfers a notary vouches for
/// @notice States are coins: owner, amount and salt, hashed.
///
/// The chain checks that a notary submits; that inputs and reads are unspent, each input is spent once, and outputs are new; and that
/// each id is carried out once.
///
/// The chain does not check, and a notary is trusted for: that amounts of inputs and outputs are equal, that who mints may mint,
/// that an owner has agreed to the spending of its coins (its signature may travel in `data`, as evidence), and that a coin's content is
/// given to its owner. A notary can thus mint, and spend what is not its own, but not without leaving a transition for all to see; it
/// cannot spend a coin twice. Nobody but a notary can do anything, and if all notaries are silent, everything stands still.
///
/// Configuration: `(address[] notaries, bytes data)`. Any one of the notaries is enough; ascending, distinct. `data` is for the domain
/// (name, symbol, how to reach the notaries); every transition pays for copying it, so it is best short.
contract NotaryToken is StateLedger, DomainInstance {
    /// @notice The sender is none of the notaries.
    error NotNotary(address sender);

    /// @notice Carries a transition out. Only for notaries. See {StateLedger} for what reverts it.
    function transition(
        bytes32 id,
        bytes32[] calldata inputs,
        bytes32[] calldata reads,
        bytes32[] calldata outputs,
        bytes calldata data
    ) external {
        if (!Members.contains(notaries(), msg.sender)) revert NotNotary(msg.sender);
        _transition(id, inputs, reads, outputs, data);
    }

    /// @notice Who may submit, in ascending order.
    function notaries() public view returns (address[] memory list) {
        (list, ) = abi.decode(config(), (address[], bytes));
    }

    /// @inheritdoc DomainInstance
    function checkConfig() external view override {
        Members.check(notaries());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {DomainInstance} from "./DomainInstance.sol";
import {Endorsements} from "./Endorsements.sol";
import {Members} from "./Members.sol";
import {StateLedger} from "./StateLedger.sol";

/// @title A ledger whose transitions M of N members endorse
/// @notice An endorsement is an EIP-712 signature of the whole transition, for this contract on this chain ({eip712Domain}: name
/// `millrace`, version `1`).
///
/// The chain checks that at least `required` distinct members have signed exactly this transition; and what {StateLedger} checks. With
/// `required` = N all must have signed.
///
/// The chain does not check what a transition means: `required` members together can make any. Anybody may submit what is endorsed,
/// a stranger who has seen it in the pool too; that changes nothing of its outcome, and the second submission is a duplicate.
///
/// Configuration: `(address[] members, uint256 required, bytes data)`. Members ascending, distinct; 1 ≤ required ≤ N. `data` is for the
/// domain; every transition pays for copying it, so it is best short.
contract EndorsedLedger is StateLedger, DomainInstance, EIP712 {
    bytes32 private constant TRANSITION_TYPEHASH =
        keccak256("Transition(bytes32 id,bytes32[] inputs,bytes32[] reads,bytes32[] outputs,bytes data)");

    /// @notice The number of endorsements to require is none of 1 to N.
    error BadRequirement(uint256 required, uint256 members);

    constructor() EIP712("millrace", "1") {}

    /// @notice Carries a transition out. See {Endorsements} and {StateLedger} for what reverts it.
    /// @param signatures Endorsements in ascending order of their signers
    function transition(
        bytes32 id,
        bytes32[] calldata inputs,
        bytes32[] calldata reads,
        bytes32[] calldata outputs,
        bytes calldata data,
        bytes[] calldata signatures
    ) external {
        (address[] memory members, uint256 required) = endorsers();
        Endorsements.check(digest(id, inputs, reads, outputs, data), signatures, members, required);
        _transition(id, inputs, reads, outputs, data);
    }

    /// @notice What endorsers of a transition sign: its EIP-712 digest.
    function digest(
        bytes32 id,
        bytes32[] calldata inputs,
        bytes32[] calldata reads,
        bytes32[] calldata outputs,
        bytes calldata data
    ) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    TRANSITION_TYPEHASH,
                    id,
                    keccak256(abi.encodePacked(inputs)),
                    keccak256(abi.encodePacked(reads)),
                    keccak256(abi.encodePacked(outputs)),
                    keccak256(data)
                )
            )
        );
    }

    /// @notice Who may endorse, in ascending order, and how many of them must.
    function endorsers() public view returns (address[] memory members, uint256 required) {
        (members, required, ) = abi.decode(config(), (address[], uint256, bytes));
    }

    /// @inheritdoc DomainInstance
    function checkConfig() external view override {
        (address[] memory members, uint256 required) = endorsers();
        Members.check(members);
        if (required == 0 || required > members.length) revert BadRequirement(required, members.length);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title M of N members have signed
/// @dev Signatures come in ascending order of their signers. That makes one pass over members and signatures enough, and a signer who
/// counts twice impossible. Signatures are of 65 bytes (r, s, v) with s in the lower half (EIP-2), so that none has a second form.
library Endorsements {
    /// @notice There are fewer endorsements than it takes.
    error TooFewEndorsements(uint256 given, uint256 required);

    /// @notice The endorsement at this index is not a signature at all: wrong length, s in the upper half, or no key fits.
    error MalformedEndorsement(uint256 index);

    /// @notice A signer is not greater than the one before: signed twice, or out of order.
    error EndorsersNotAscending(address previous, address signer);

    /// @notice A signature is of none of the members, or of something else than this digest: another transition, contract or chain.
    error EndorserNotMember(address signer);

    /// @dev Reverts unless at least `required` of `members` (distinct and ascending, see {Members-check}) have signed `digest`, and
    /// each signature given is of one of them.
    function check(bytes32 digest, bytes[] calldata signatures, address[] memory members, uint256 required) internal pure {
        if (signatures.length < required) revert TooFewEndorsements(signatures.length, required);
        address previous = address(0);
        uint256 member = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, signatures[i]);
            if (failure != ECDSA.RecoverError.NoError) revert MalformedEndorsement(i);
            if (signer <= previous) revert EndorsersNotAscending(previous, signer);
            while (member < members.length && members[member] < signer) ++member;
            if (member == members.length || members[member] != signer) revert EndorserNotMember(signer);
            previous = signer;
        }
    }
}

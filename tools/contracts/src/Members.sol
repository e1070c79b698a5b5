// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Lists of addresses that may act for an instance
/// @dev In ascending order, so that one look at each neighbour shows that all are distinct.
library Members {
    /// @notice The list is empty.
    error NoMembers();

    /// @notice An address is not greater than the one before it (the zero address, for the first): twice in the list, or out of order.
    error MembersNotAscending(address previous, address member);

    /// @dev Reverts unless the list has members, all distinct, none of them zero.
    function check(address[] memory members) internal pure {
        if (members.length == 0) revert NoMembers();
        address previous = address(0);
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] <= previous) revert MembersNotAscending(previous, members[i]);
            previous = members[i];
        }
    }

    function contains(address[] memory members, address account) internal pure returns (bool) {
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == account) return true;
        }
        return false;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

/// @title What a {DomainFactory} makes instances of
/// @notice An instance is a minimal proxy (ERC-1167) whose configuration stands in its code: it cannot change, no initialiser can be
/// called late or twice, and reading it costs no storage access.
abstract contract DomainInstance {
    address private immutable IMPLEMENTATION = address(this);

    /// @notice The implementation itself was called, which has no configuration.
    error NotAnInstance();

    /// @notice The configuration that the instance was created with, ABI-encoded as its contract says.
    function config() public view returns (bytes memory) {
        if (address(this) == IMPLEMENTATION) revert NotAnInstance();
        return Clones.fetchCloneArgs(address(this));
    }

    /// @notice Reverts if the configuration is not one that the contract can work with. The factory asks once, when it creates.
    function checkConfig() external view virtual;
}

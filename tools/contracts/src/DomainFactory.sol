// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {DomainInstance} from "./DomainInstance.sol";

/// @title Makes the instances of one domain, and is their registry
/// @notice There is one for each domain, and indexers follow its events: a contract that it has not registered is none of the domain,
/// whatever its code says. Anybody may create. An instance's address follows from id and configuration, so nobody can take another's
/// place: whoever is first with the same id and configuration has created exactly what was asked for.
contract DomainFactory {
    /// @notice An instance has been created and registered.
    /// @param id Chosen by who asked for it, the same for each attempt
    event InstanceCreated(bytes32 indexed id, address indexed instance, bytes config);

    /// @notice The same id and configuration have been created already, in this block: `instance` is what was asked for.
    error DuplicateInstance(bytes32 id, address instance, uint256 blockNumber);

    /// @notice The implementation refuses the configuration.
    /// @param reason Its error, ABI-encoded; empty if it could not even decode the configuration
    error BadConfig(bytes reason);

    /// @notice There is no contract at the implementation's address.
    error NoImplementation(address implementation);

    /// @notice The code of all instances.
    address public immutable implementation;

    /// @notice The number of the block in which an instance was created; 0 for an address that is none.
    mapping(address instance => uint256 blockNumber) public instanceBlock;

    /// @param implementation_ A {DomainInstance}
    constructor(address implementation_) {
        if (implementation_.code.length == 0) revert NoImplementation(implementation_);
        implementation = implementation_;
    }

    /// @notice Creates and registers an instance.
    /// @param config ABI-encoded as the implementation says; at most 24,531 bytes, because it stands in the instance's code
    function create(bytes32 id, bytes calldata config) external returns (address instance) {
        instance = addressOf(id, config);
        uint256 earlier = instanceBlock[instance];
        if (earlier != 0) revert DuplicateInstance(id, instance, earlier);
        instanceBlock[instance] = block.number;
        Clones.cloneDeterministicWithImmutableArgs(implementation, config, id);
        try DomainInstance(instance).checkConfig() {}
        catch (bytes memory reason) {
            revert BadConfig(reason);
        }
        emit InstanceCreated(id, instance, config);
    }

    /// @notice Where the instance with this id and configuration is, or will be.
    function addressOf(bytes32 id, bytes calldata config) public view returns (address) {
        return Clones.predictDeterministicAddressWithImmutableArgs(implementation, config, id);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title An unspent set that moves by transitions, each exactly once
/// @notice A state is known to the chain by its id alone, the hash of content that only its parties have. An id is created once, is
/// unspent from then on, and is spent once. Neither ever comes undone, so content that may recur needs a random salt; one that can be
/// guessed needs it too, or its hash gives it away.
///
/// Who may make a transition is the deriving contract's to decide, before it calls {_transition}. What the states mean (amounts,
/// owners, code) is not known here: that a transition is right by the rules of its domain is vouched for by whoever may make it.
///
/// A client that meets a revert looks its error up in the artifact's list `retryable`:
/// - retryable: something that the transition builds on is not there *now*. The id has not been used. Assemble again.
/// - final (everything else): it will never succeed as it is. It may be that it has been carried out already, by a copy of it:
///   {transitionBlock} of its id says so, and where its receipt is.
abstract contract StateLedger {
    /// @notice What has become of a state id. Only ever changes to the next.
    enum Status {
        Unknown,
        Unspent,
        Spent
    }

    /// @notice A transition has happened. `inputs` are spent, `reads` were unspent and still are, `outputs` are unspent from now on.
    /// @param id Chosen by the originator of the private transaction, the same for each attempt at it
    /// @param data For the domain; the chain does not look at it
    event Transition(bytes32 indexed id, bytes32[] inputs, bytes32[] reads, bytes32[] outputs, bytes data);

    /// @notice An input is not unspent: not created (yet), or spent, be it by another transition or by standing in this one twice.
    /// @custom:retryable Once what creates it is mined, or with another input.
    error InputUnavailable(bytes32 state, Status status);

    /// @notice A state that should be read is not unspent: not created (yet), or spent, be it by this transition.
    /// @custom:retryable Once what creates it is mined, or with the state that took its place.
    error ReadUnavailable(bytes32 state, Status status);

    /// @notice A state id is created that exists already, or that stands in the outputs twice: its content lacks a salt.
    error OutputExists(bytes32 state, Status status);

    /// @notice A transition with this id has happened, in this block.
    error DuplicateTransition(bytes32 id, uint256 blockNumber);

    /// @notice The status of a state.
    mapping(bytes32 state => Status) public status;

    /// @notice The number of the block in which a transition happened; 0 if it has not.
    mapping(bytes32 id => uint256 blockNumber) public transitionBlock;

    /// @dev Carries a transition out, or reverts. The caller has checked who asks for it.
    /// Its id comes first, so that an error about a state says that the id is unused. Inputs come before outputs, so that nothing is
    /// spent that the transition itself creates.
    function _transition(
        bytes32 id,
        bytes32[] calldata inputs,
        bytes32[] calldata reads,
        bytes32[] calldata outputs,
        bytes calldata data
    ) internal {
        uint256 earlier = transitionBlock[id];
        if (earlier != 0) revert DuplicateTransition(id, earlier);
        transitionBlock[id] = block.number;

        for (uint256 i = 0; i < inputs.length; ++i) {
            Status found = status[inputs[i]];
            if (found != Status.Unspent) revert InputUnavailable(inputs[i], found);
            status[inputs[i]] = Status.Spent;
        }
        for (uint256 i = 0; i < reads.length; ++i) {
            Status found = status[reads[i]];
            if (found != Status.Unspent) revert ReadUnavailable(reads[i], found);
        }
        for (uint256 i = 0; i < outputs.length; ++i) {
            Status found = status[outputs[i]];
            if (found != Status.Unknown) revert OutputExists(outputs[i], found);
            status[outputs[i]] = Status.Unspent;
        }
        emit Transition(id, inputs, reads, outputs, data);
    }
}

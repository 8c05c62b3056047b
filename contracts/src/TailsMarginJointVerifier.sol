// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {WideMarginJointVerifier} from "./WideMarginJointVerifier.sol";

/// @title WideMarginJointVerifier for layouts with dampened tails. Unaudited.
/// @notice Takes one proof for many accounts together of the layouts with dampened tails, which all other verifiers refuse, and
/// of no others: those pay nothing for what tails need.
contract TailsMarginJointVerifier is WideMarginJointVerifier {
    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 flags, bytes memory pinned)
        WideMarginJointVerifier(instruments, scenarios0, scenarios1, flags, pinned)
    {}

    function _takesTails() internal pure override returns (bool) {
        return true;
    }
}

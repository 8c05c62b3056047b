// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarginJointVerifier} from "./MarginJointVerifier.sol";

/// @title MarginJointVerifier for wide layouts: three to eight risk groups, charges by size, or gain offsets. Unaudited.
/// @notice Takes one proof for many accounts together, as MarginJointVerifier does, of the layouts that MarginJointVerifier refuses; it takes none
/// of those that MarginJointVerifier takes, which pay nothing for what wide ones need.
contract WideMarginJointVerifier is MarginJointVerifier {
    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 flags, bytes memory pinned)
        MarginJointVerifier(instruments, scenarios0, scenarios1, flags, pinned)
    {}

    function _takesWide() internal pure override returns (bool) {
        return true;
    }
}

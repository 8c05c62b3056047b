// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarginVerifier} from "./MarginVerifier.sol";

/// @title MarginVerifier for wide layouts: three to eight risk groups, charges by size, or gain offsets. Unaudited.
/// @notice Takes proofs of single accounts, as MarginVerifier does, of the layouts that MarginVerifier refuses; it takes none
/// of those that MarginVerifier takes, which pay nothing for what wide ones need.
contract WideMarginVerifier is MarginVerifier {
    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 flags, bytes memory pinned)
        MarginVerifier(instruments, scenarios0, scenarios1, flags, pinned)
    {}

    function _takesWide() internal pure override returns (bool) {
        return true;
    }
}

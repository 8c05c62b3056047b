// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainVerifier} from "./IChainVerifier.sol";

/// @title What a venue's contract calls to check margin proofs of single accounts.
interface IMarginVerifier is IChainVerifier {
    /// @notice Many proofs against one table, for one pairing check: all hold, or it reverts.
    /// @param nonces one for each proof
    /// @param proofs claim, commitments and proof of each account, one after the other
    function verifyBatch(TableId calldata id, bytes calldata table, bytes32[] calldata nonces, bytes calldata proofs)
        external
        view
        returns (bytes32 tableHash, bytes32[] memory statementDigests);
}

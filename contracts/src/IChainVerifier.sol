// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a venue's contract calls to check a margin proof, of one account or of many together.
interface IChainVerifier {
    /// @param series what the tables of one venue and policy have in common
    /// @param sequence number of the table in its series
    /// @param snapshot digest of the risk snapshot that the table was made of
    struct TableId {
        bytes32 series;
        uint256 sequence;
        bytes32 snapshot;
    }

    /// Constructor: sizes or a pinned point that no layout has.
    error BadLayout();
    /// The call is not the ABI's own encoding: bytes that follow, or arguments that overlap or lie elsewhere.
    error BadCalldata();
    /// The table's bytes are not as many as the layout's scenarios ask for.
    error WrongTableLength();
    /// The proofs' bytes are not a whole proof for each nonce, or there is none.
    error WrongProofLength();
    /// Numerator or denominator is 0 or 2^16 or more.
    error ClaimOutOfRange();
    /// Zeros for a point. 0 .. 7: F1 F2 F3 H phi T W W'; 8 positions; 9 collateral; 16 of the table.
    error PointAtInfinity(uint256 place);
    /// A value at zeta is not below the field's order; its place in the order of the bytes.
    error ScalarOutOfRange(uint256 place);
    /// A challenge came out as 0 (one in 2^255).
    error ZeroChallenge();
    /// The last word of a proof is not the inverse of the product of all denominators; where one of them vanishes there
    /// is none. The word follows from the rest: whoever sends a proof can compute it.
    error BadInverse();
    /// The table counts an asset owed for less than held.
    error BadHaircut();
    /// A point has coordinates at or above p, is off the curve, or outside the subgroup.
    error InvalidPoint();
    /// This chain has no EIP-2537, or prices it above what is known: nothing can be verified here.
    error NoPrecompile();
    /// Every part is well-formed, and the proof does not prove its statement.
    error ProofRejected();

    /// @notice Checks one proof, or reverts.
    /// @param id which table; anybody can recompute it from its snapshot
    /// @param table head (96 bytes), price point (96), points of the scenario rows (96 each)
    /// @param nonce what the caller binds the proof to, beside chain, this contract and itself
    /// @param proof claim, commitments, proof and inverse of one account
    /// @return tableHash what a registry must have stored for this table: compare it
    /// @return statementDigest identifies what was proved: accept it once
    function verify(TableId calldata id, bytes calldata table, bytes32 nonce, bytes calldata proof)
        external
        view
        returns (bytes32 tableHash, bytes32 statementDigest);

    /// @notice The same with the table in the code of a contract, after one zero byte.
    function verifyStored(TableId calldata id, address store, bytes32 nonce, bytes calldata proof)
        external
        view
        returns (bytes32 tableHash, bytes32 statementDigest);

    /// @notice The digest of everything that this contract pins, and the pinned point.
    function pins() external view returns (bytes32 digest, bytes memory pinned);
}

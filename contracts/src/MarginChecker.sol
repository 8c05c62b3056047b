// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CommitmentRegistry} from "./CommitmentRegistry.sol";
import {IChainVerifier} from "./IChainVerifier.sol";
import {IMarginVerifier} from "./IMarginVerifier.sol";
import {SnapshotRegistry} from "./SnapshotRegistry.sol";

/// @title What a venue's contract inherits, or deploys as it is: which accounts have shown that their margin is met.
/// Unaudited.
/// @notice An account is covered from an accepted proof until `PERIOD` later, or the table's expiry, or the next change of
/// its commitments, whichever comes first. Anybody may send a proof, and anybody may ask.
/// @dev A proof is bound to this chain, this verifier, this contract and a nonce of the account, a count and a recent
/// block: nobody can have made it before that block, and none is accepted twice, as the count goes up with each.
contract MarginChecker {
    IMarginVerifier public immutable VERIFIER;
    SnapshotRegistry public immutable SNAPSHOTS;
    CommitmentRegistry public immutable COMMITMENTS;
    /// @notice The series of tables: it names attesters, threshold, policies and lifetime.
    bytes32 public immutable SERIES;
    /// @notice equity : requirement must be at least this.
    uint16 public immutable NUM;
    uint16 public immutable DEN;
    /// @notice How far behind the latest table a proof may be, in sequence numbers.
    uint64 public immutable LAG;
    /// @notice Seconds that a proof counts for.
    uint64 public immutable PERIOD;
    /// @notice How old the block of a proof's nonce may be, in blocks, at most 255.
    uint64 public immutable WINDOW;

    struct Settings {
        IMarginVerifier verifier;
        SnapshotRegistry snapshots;
        CommitmentRegistry commitments;
        bytes32 series;
        uint16 num;
        uint16 den;
        uint64 lag;
        uint64 period;
        uint64 window;
    }

    /// @dev `until` in seconds since 1970; `version` of the commitments that were proved; `count` of accepted proofs.
    struct Coverage {
        uint64 until;
        uint64 version;
        uint64 count;
    }

    mapping(address account => Coverage) private _coverage;

    /// Margin of `account` is met until `until` unless its commitments change. `statement` is accepted once.
    event Covered(address indexed account, uint64 until, uint64 sequence, bytes32 statement);

    error BadSettings();
    error OtherTable();
    error ClaimTooLow();
    error OtherCommitments();
    error Incomplete();
    error BlockTooOld();

    constructor(Settings memory s) {
        if (s.num == 0 || s.den == 0 || s.period == 0 || s.window == 0 || s.window > 255) revert BadSettings();
        (VERIFIER, SNAPSHOTS, COMMITMENTS) = (s.verifier, s.snapshots, s.commitments);
        (SERIES, NUM, DEN) = (s.series, s.num, s.den);
        (LAG, PERIOD, WINDOW) = (s.lag, s.period, s.window);
    }

    /// @notice The nonce that the account's next proof must be made for, against a block of the last `WINDOW` ones.
    function nonceOf(address account, uint256 blockNumber) public view returns (bytes32) {
        if (blockNumber >= block.number || block.number - blockNumber > WINDOW) revert BlockTooOld();
        return keccak256(abi.encode(account, _coverage[account].count, blockNumber, blockhash(blockNumber)));
    }

    /// @notice Check a proof of an account's margin and cover it.
    /// @param id series, sequence and snapshot of the table
    /// @param table its bytes
    /// @param blockNumber of the nonce
    /// @param proof claim, commitments and proof, as `IMarginVerifier` has it
    function prove(
        address account,
        IChainVerifier.TableId calldata id,
        bytes calldata table,
        uint256 blockNumber,
        bytes calldata proof
    ) external returns (uint64 until) {
        uint64 version = _admit(account, id, proof);
        (bytes32 tableHash, bytes32 statement) = VERIFIER.verify(id, table, nonceOf(account, blockNumber), proof);
        return _cover(account, id, tableHash, statement, version);
    }

    /// @notice The same with the table in the code of `store` (`SnapshotRegistry.store`).
    function proveStored(
        address account,
        IChainVerifier.TableId calldata id,
        address store,
        uint256 blockNumber,
        bytes calldata proof
    ) external returns (uint64 until) {
        uint64 version = _admit(account, id, proof);
        (bytes32 tableHash, bytes32 statement) = VERIFIER.verifyStored(id, store, nonceOf(account, blockNumber), proof);
        return _cover(account, id, tableHash, statement, version);
    }

    /// @notice Whether an account's margin is known to be met now. For liquidators: `false` means not shown, not bad.
    function isCovered(address account) public view returns (bool) {
        Coverage storage c = _coverage[account];
        return block.timestamp < c.until && c.version == COMMITMENTS.versionOf(account);
    }

    /// @notice Until when an account is covered; 0 when it is not.
    function coveredUntil(address account) external view returns (uint64) {
        return isCovered(account) ? _coverage[account].until : 0;
    }

    /// @notice How many proofs of an account were accepted: what its next nonce counts.
    function countOf(address account) external view returns (uint64) {
        return _coverage[account].count;
    }

    /// @dev What an application may do when an account is covered.
    function _covered(address account, uint64 until) internal virtual {}

    /// @dev Everything that is cheap, before the proof: claim, series, commitments.
    function _admit(address account, IChainVerifier.TableId calldata id, bytes calldata proof)
        private
        view
        returns (uint64)
    {
        if (id.series != SERIES || id.sequence > type(uint64).max) revert OtherTable();
        if (proof.length < 256) revert IChainVerifier.WrongProofLength();
        uint256 num = uint256(bytes32(proof[0:32]));
        uint256 den = uint256(bytes32(proof[32:64]));
        if (num > type(uint16).max || den > type(uint16).max || num * DEN < den * NUM) revert ClaimTooLow();
        (bytes32 positions, bytes32 collateral, uint64 version, bool complete) = COMMITMENTS.commitmentsOf(account);
        if (!complete) revert Incomplete();
        if (keccak256(proof[64:160]) != positions || keccak256(proof[160:256]) != collateral) revert OtherCommitments();
        return version;
    }

    function _cover(
        address account,
        IChainVerifier.TableId calldata id,
        bytes32 tableHash,
        bytes32 statement,
        uint64 version
    ) private returns (uint64 until) {
        (bytes32 registered, uint64 expiry) = SNAPSHOTS.current(SERIES, uint64(id.sequence), LAG);
        if (registered != tableHash) revert OtherTable();
        until = uint64(block.timestamp) + PERIOD;
        if (expiry < until) until = expiry;
        Coverage storage c = _coverage[account];
        (c.until, c.version, c.count) = (until, version, c.count + 1);
        emit Covered(account, until, uint64(id.sequence), statement);
        _covered(account, until);
    }
}

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
    /// @notice The verifier of proofs for many accounts together, or 0 for none.
    IChainVerifier public immutable JOINT;
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
        IChainVerifier joint;
    }

    /// @dev `until` in seconds since 1970; `version` of the commitments that were proved; `count` of accepted proofs.
    struct Coverage {
        uint64 until;
        uint64 version;
        uint64 count;
    }

    mapping(address account => Coverage) private _coverage;

    /// Margin of `account` is met until `until` unless its commitments change. `statement` is accepted once, for one
    /// account or for all of a joint proof.
    event Covered(address indexed account, uint64 until, uint64 sequence, bytes32 statement);

    /// Constructor: a claim of 0, no period, or a window outside 1 to 255 blocks.
    error BadSettings();
    /// The table is of another series, or not the one that the registry has under this number.
    error OtherTable();
    /// The proof's claim is below what this checker asks for, or out of range.
    error ClaimTooLow();
    /// The proof is about other commitments than the account has now.
    error OtherCommitments();
    /// Not every attester of both roles has a part of the account.
    error Incomplete();
    /// The nonce's block is not one of the last few, or not there yet.
    error BlockTooOld();
    /// This checker was deployed without a verifier of joint proofs.
    error NoJointVerifier();
    /// The proof is for another number of accounts than the call names.
    error WrongAccounts();

    constructor(Settings memory s) {
        if (s.num == 0 || s.den == 0 || s.period == 0 || s.window == 0 || s.window > 255) revert BadSettings();
        (VERIFIER, SNAPSHOTS, COMMITMENTS) = (s.verifier, s.snapshots, s.commitments);
        (SERIES, NUM, DEN) = (s.series, s.num, s.den);
        (LAG, PERIOD, WINDOW, JOINT) = (s.lag, s.period, s.window, s.joint);
    }

    /// @notice The nonce that the account's next proof must be made for, against a block of the last `WINDOW` ones.
    function nonceOf(address account, uint256 blockNumber) public view returns (bytes32) {
        if (blockNumber >= block.number || block.number - blockNumber > WINDOW) revert BlockTooOld();
        return keccak256(abi.encode(account, _coverage[account].count, blockNumber, blockhash(blockNumber)));
    }

    /// @notice The nonce that the next proof of these accounts together must be made for.
    function jointNonceOf(address[] calldata accounts, uint256 blockNumber) public view returns (bytes32) {
        if (blockNumber >= block.number || block.number - blockNumber > WINDOW) revert BlockTooOld();
        uint64[] memory counts = new uint64[](accounts.length);
        for (uint256 i = 0; i < accounts.length; ++i) {
            counts[i] = _coverage[accounts[i]].count;
        }
        return keccak256(abi.encode(accounts, counts, blockNumber, blockhash(blockNumber)));
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

    /// @notice Check one proof for many accounts and cover them all.
    /// @param accounts in the order of the proof, each once
    /// @param proof as `MarginJointVerifier` has it
    function proveJoint(
        address[] calldata accounts,
        IChainVerifier.TableId calldata id,
        bytes calldata table,
        uint256 blockNumber,
        bytes calldata proof
    ) external returns (uint64 until) {
        uint64[] memory versions = _admitAll(accounts, id, proof);
        (bytes32 tableHash, bytes32 statement) = JOINT.verify(id, table, jointNonceOf(accounts, blockNumber), proof);
        return _coverAll(accounts, id, tableHash, statement, versions);
    }

    /// @notice The same with the table in the code of `store` (`SnapshotRegistry.store`).
    function proveJointStored(
        address[] calldata accounts,
        IChainVerifier.TableId calldata id,
        address store,
        uint256 blockNumber,
        bytes calldata proof
    ) external returns (uint64 until) {
        uint64[] memory versions = _admitAll(accounts, id, proof);
        (bytes32 tableHash, bytes32 statement) =
            JOINT.verifyStored(id, store, jointNonceOf(accounts, blockNumber), proof);
        return _coverAll(accounts, id, tableHash, statement, versions);
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
        _admitTable(id);
        if (proof.length < 256) revert IChainVerifier.WrongProofLength();
        _admitClaim(proof[0:64]);
        return _admitCommitments(account, proof[64:256]);
    }

    /// @dev The same for many: m, num, den, then two points of each account.
    function _admitAll(address[] calldata accounts, IChainVerifier.TableId calldata id, bytes calldata proof)
        private
        view
        returns (uint64[] memory versions)
    {
        if (address(JOINT) == address(0)) revert NoJointVerifier();
        _admitTable(id);
        uint256 m = accounts.length;
        if (m == 0 || proof.length < 96 + 192 * m || uint256(bytes32(proof[0:32])) != m) revert WrongAccounts();
        _admitClaim(proof[32:96]);
        versions = new uint64[](m);
        for (uint256 i = 0; i < m; ++i) {
            versions[i] = _admitCommitments(accounts[i], proof[96 + 192 * i:288 + 192 * i]);
        }
    }

    function _admitTable(IChainVerifier.TableId calldata id) private view {
        if (id.series != SERIES || id.sequence > type(uint64).max) revert OtherTable();
    }

    /// @dev num and den, 64 bytes.
    function _admitClaim(bytes calldata claim) private view {
        uint256 num = uint256(bytes32(claim[0:32]));
        uint256 den = uint256(bytes32(claim[32:64]));
        if (num > type(uint16).max || den > type(uint16).max || num * DEN < den * NUM) revert ClaimTooLow();
    }

    /// @dev Positions and collateral, 96 bytes each, against the registry; the version of the account's commitments.
    function _admitCommitments(address account, bytes calldata points) private view returns (uint64) {
        // one call for each account of a joint proof, to the registry that was chosen at deployment
        // slither-disable-next-line calls-loop
        (bytes32 positions, bytes32 collateral, uint64 version, bool complete) = COMMITMENTS.commitmentsOf(account);
        if (!complete) revert Incomplete();
        if (keccak256(points[0:96]) != positions || keccak256(points[96:192]) != collateral) revert OtherCommitments();
        return version;
    }

    function _cover(
        address account,
        IChainVerifier.TableId calldata id,
        bytes32 tableHash,
        bytes32 statement,
        uint64 version
    ) private returns (uint64 until) {
        until = _until(id, tableHash);
        _coverOne(account, id, until, statement, version);
    }

    function _coverAll(
        address[] calldata accounts,
        IChainVerifier.TableId calldata id,
        bytes32 tableHash,
        bytes32 statement,
        uint64[] memory versions
    ) private returns (uint64 until) {
        until = _until(id, tableHash);
        for (uint256 i = 0; i < accounts.length; ++i) {
            _coverOne(accounts[i], id, until, statement, versions[i]);
        }
    }

    /// @dev Until when a proof against a registered table counts.
    function _until(IChainVerifier.TableId calldata id, bytes32 tableHash) private view returns (uint64 until) {
        (bytes32 registered, uint64 expiry) = SNAPSHOTS.current(SERIES, uint64(id.sequence), LAG);
        if (registered != tableHash) revert OtherTable();
        until = uint64(block.timestamp) + PERIOD;
        if (expiry < until) until = expiry;
    }

    function _coverOne(
        address account,
        IChainVerifier.TableId calldata id,
        uint64 until,
        bytes32 statement,
        uint64 version
    ) private {
        Coverage storage c = _coverage[account];
        (c.until, c.version, c.count) = (until, version, c.count + 1);
        emit Covered(account, until, uint64(id.sequence), statement);
        _covered(account, until);
    }
}

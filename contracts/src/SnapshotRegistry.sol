// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Attested} from "./Attested.sol";

/// @title Tables of risk snapshots, each signed by k of n attesters. Unaudited.
/// @notice A series is named by the digest of its own rules: who attests, how many must, which policies, how long a table
/// lives. Whoever names a series has named all of that, and nobody can change it: there is no owner. Other attesters or
/// another policy are another series.
/// @dev Attesters recompute the table from the snapshot, and the snapshot from the market, before they sign
/// (`zkmargin snapshot check`). They can be wrong about prices, never about soundness: that is pinned in the verifier.
contract SnapshotRegistry is Attested {
    /// @param attesters in ascending order, none twice
    /// @param threshold k: so many of them must sign
    /// @param policies digests of the policies that a snapshot may be built with
    /// @param lifetime seconds from a table's time to its expiry, at most
    struct Rules {
        address[] attesters;
        uint256 threshold;
        bytes32[] policies;
        uint64 lifetime;
        bytes32 salt;
    }

    /// @dev What attesters sign. Times are seconds since 1970.
    struct Table {
        bytes32 series;
        uint64 sequence;
        bytes32 snapshot;
        bytes32 policy;
        bytes32 table;
        uint64 time;
        uint64 expiry;
    }

    bytes32 public constant TABLE_TYPEHASH = keccak256(
        "SnapshotTable(bytes32 series,uint64 sequence,bytes32 snapshot,bytes32 policy,bytes32 table,uint64 time,uint64 expiry)"
    );

    struct Entry {
        bytes32 table;
        uint64 time;
        uint64 expiry;
    }

    /// @notice The greatest sequence of each series, and the time of its table.
    mapping(bytes32 series => uint64) public latest;
    mapping(bytes32 series => mapping(uint64 sequence => Entry)) private _entries;

    event Registered(bytes32 indexed series, uint64 indexed sequence, bytes32 snapshot, bytes32 table, uint64 expiry);
    /// The table's bytes lie in the code of `store`, after one zero byte. Nobody vouches for them: the verifier hashes.
    event Stored(bytes32 indexed contentHash, address store);

    /// Rules that no series has: no policy, no lifetime, attesters not in ascending order, or a threshold that is 0 or
    /// above their number.
    error BadRules();
    /// The entry names another series than these rules make.
    error OtherSeries();
    /// The rules do not list the policy of the table's snapshot.
    error OtherPolicy();
    /// The series has a later table, or this one is further behind the latest than is taken.
    error OldSequence();
    /// The table's time is after the block's or before that of the latest table, or it has expired, or its lifetime
    /// is above the rules'.
    error BadTime();
    /// The registry has no table of this series and number.
    error NotRegistered();
    /// The table could not be put into a contract of its own: most often too little gas.
    error StoreFailed();

    constructor() Attested("zkmargin snapshots") {}

    /// @notice The name of a series: the digest of its rules.
    function seriesOf(Rules calldata rules) public pure returns (bytes32) {
        if (
            rules.threshold == 0 || rules.threshold > rules.attesters.length || rules.policies.length == 0
                || rules.lifetime == 0
        ) revert BadRules();
        for (uint256 i = 1; i < rules.attesters.length; ++i) {
            if (rules.attesters[i] <= rules.attesters[i - 1]) revert BadRules();
        }
        return keccak256(abi.encode(rules));
    }

    /// @notice Store a table's hash.
    /// @param rules of the series that the table names
    /// @param signatures of attesters, (r, vs) each (EIP-2098), in ascending order of the signers
    function register(Rules calldata rules, Table calldata entry, Signature[] calldata signatures) external {
        if (seriesOf(rules) != entry.series) revert OtherSeries();
        if (!_listed(rules.policies, entry.policy)) revert OtherPolicy();
        if (entry.sequence <= latest[entry.series]) revert OldSequence();
        if (
            entry.time > block.timestamp || entry.expiry <= block.timestamp
                || entry.expiry - entry.time > rules.lifetime
                || entry.time < _entries[entry.series][latest[entry.series]].time
        ) revert BadTime();
        bytes32 digest = _digest(
            keccak256(
                abi.encode(
                    TABLE_TYPEHASH,
                    entry.series,
                    entry.sequence,
                    entry.snapshot,
                    entry.policy,
                    entry.table,
                    entry.time,
                    entry.expiry
                )
            )
        );
        _requireSigned(digest, signatures, rules.attesters, rules.threshold);
        latest[entry.series] = entry.sequence;
        _entries[entry.series][entry.sequence] = Entry(entry.table, entry.time, entry.expiry);
        emit Registered(entry.series, entry.sequence, entry.snapshot, entry.table, entry.expiry);
    }

    /// @notice Put a table's bytes into the code of a new contract, for `verifyStored`. Anybody may.
    function store(bytes calldata content) external returns (address created) {
        // 0x00 (STOP) then the bytes; the creation code copies what follows it and returns it
        bytes memory code =
            abi.encodePacked(hex"61", uint16(content.length + 1), hex"80600a3d393df300", content);
        assembly {
            created := create(0, add(code, 0x20), mload(code))
        }
        if (created == address(0)) revert StoreFailed();
        emit Stored(keccak256(content), created);
    }

    /// @notice A table that may be used now: not expired, and at most `lag` behind the latest.
    /// @return table its hash
    /// @return expiry until when
    function current(bytes32 series, uint64 sequence, uint64 lag) external view returns (bytes32 table, uint64 expiry) {
        Entry storage entry = _entries[series][sequence];
        (table, expiry) = (entry.table, entry.expiry);
        if (table == 0) revert NotRegistered();
        if (expiry <= block.timestamp) revert BadTime();
        if (latest[series] - sequence > lag) revert OldSequence();
    }

    /// @notice What was registered, whether or not it may still be used.
    function entryOf(bytes32 series, uint64 sequence) external view returns (Entry memory) {
        return _entries[series][sequence];
    }

    function _listed(bytes32[] calldata list, bytes32 wanted) private pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }
}

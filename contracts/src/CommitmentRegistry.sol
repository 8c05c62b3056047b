// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Attested} from "./Attested.sol";

/// @title What accounts have committed to, part by part, as their venues and custodians attest. Unaudited.
/// @notice An account's commitment to positions is the sum of one part for every position attester, its commitment to
/// collateral the sum of one part for every collateral attester. An account is complete when all of them have attested
/// a part (of nothing, where there is nothing): so nobody leaves a venue out. Attesters are fixed for good; there is no
/// owner. Other attesters are another registry.
/// @dev A fill replaces a part: its attester signs the old point, the new point and the next sequence number. A bare new
/// point could hide any change of the book. Points are x || y, 96 bytes. Sums are made by G1ADD, which checks no
/// subgroup: every point gets into a sum by an attester's word, and the verifier's MSM checks the sum.
contract CommitmentRegistry is Attested {
    uint8 public constant POSITIONS = 0;
    uint8 public constant COLLATERAL = 1;

    /// @dev What an attester signs. `oldPoint` and `newPoint` are keccak-256 of the 96 bytes; 0 for no part before.
    struct Part {
        address account;
        uint8 role;
        bytes32 slotMap;
        bytes32 oldPoint;
        bytes32 newPoint;
        uint64 sequence;
    }

    bytes32 public constant PART_TYPEHASH = keccak256(
        "CommitmentPart(address account,uint8 role,bytes32 slotMap,bytes32 oldPoint,bytes32 newPoint,uint64 sequence)"
    );

    struct Held {
        bytes32 point;
        uint64 sequence;
    }

    /// @dev `sums` are keccak-256 of 96 bytes; `version` grows with every change; parts are counted by role.
    struct Account {
        bytes32[2] sums;
        uint64 version;
        uint32[2] parts;
    }

    /// @notice The slots that rows of a role stand for (digests of slot maps, as in commitment files).
    bytes32[2] public slotMaps;
    address[] private _positionAttesters;
    address[] private _collateralAttesters;
    mapping(address attester => uint8) private _roles; // bit 0: positions, bit 1: collateral
    mapping(address account => Account) private _accounts;
    mapping(address account => mapping(uint8 role => mapping(address attester => Held))) private _held;

    event Changed(
        address indexed account, uint8 indexed role, address indexed attester, bytes32 newPoint, uint64 sequence, uint64 version
    );

    /// Constructor: no attester of a role, too many, the zero address, or one twice.
    error BadAttesters();
    /// Not the next state of this attester's part: another role or slot map, another point before, or bytes that are
    /// no point.
    error BadPart();
    /// The part's number is not one more than the one before.
    error OldSequence();
    /// The bytes given for the account's sum before are not its sum, or the sum would be infinity.
    error BadSum();

    constructor(
        address[] memory positionAttesters,
        address[] memory collateralAttesters,
        bytes32 positionSlots,
        bytes32 collateralSlots
    ) Attested("zkmargin commitments") {
        slotMaps = [positionSlots, collateralSlots];
        _list(positionAttesters, 1);
        _list(collateralAttesters, 2);
        _positionAttesters = positionAttesters;
        _collateralAttesters = collateralAttesters;
    }

    /// @notice Who attests a role: all of them, for an account to be complete.
    function attesters(uint8 role) external view returns (address[] memory) {
        return role == POSITIONS ? _positionAttesters : _collateralAttesters;
    }

    /// @notice Register an attester's first part for an account, or replace the one that it had. Anybody may send it.
    /// @param oldPoint 96 bytes of the part before, or nothing
    /// @param newPoint 96 bytes
    /// @param oldSum 96 bytes of the account's sum in this role before, or nothing
    function change(
        Part calldata part,
        bytes calldata oldPoint,
        bytes calldata newPoint,
        bytes calldata oldSum,
        Signature calldata signature
    ) external returns (bytes memory newSum) {
        if (part.role > COLLATERAL || part.slotMap != slotMaps[part.role]) revert BadPart();
        bytes32 digest = _digest(
            keccak256(
                abi.encode(
                    PART_TYPEHASH,
                    part.account,
                    part.role,
                    part.slotMap,
                    part.oldPoint,
                    part.newPoint,
                    part.sequence
                )
            )
        );
        address attester = _signer(digest, signature);
        if (_roles[attester] >> part.role & 1 == 0) revert NotAttested();
        Held storage held = _held[part.account][part.role][attester];
        if (part.sequence != held.sequence + 1) revert OldSequence();
        if (held.point != part.oldPoint) revert BadPart();
        bool first = held.sequence == 0;
        if (first ? oldPoint.length != 0 || part.oldPoint != 0 : keccak256(oldPoint) != part.oldPoint) revert BadPart();
        if (newPoint.length != 96 || keccak256(newPoint) != part.newPoint || _isInfinity(newPoint)) revert BadPart();

        Account storage account = _accounts[part.account];
        bytes32 sum = account.sums[part.role];
        if (sum == 0 ? oldSum.length != 0 : keccak256(oldSum) != sum) revert BadSum();
        newSum = newPoint;
        if (sum != 0) newSum = _add(oldSum, newPoint, false);
        if (!first) newSum = _add(newSum, oldPoint, true);
        if (_isInfinity(newSum)) revert BadSum();

        account.sums[part.role] = keccak256(newSum);
        uint64 version = ++account.version;
        if (first) ++account.parts[part.role];
        held.point = part.newPoint;
        held.sequence = part.sequence;
        emit Changed(part.account, part.role, attester, part.newPoint, part.sequence, version);
    }

    /// @notice An account's commitments.
    /// @return positions keccak-256 of the sum of its positions
    /// @return collateral keccak-256 of the sum of its collateral
    /// @return version grows with every change: what was proved of another version is void
    /// @return complete whether every attester has a part
    function commitmentsOf(address account)
        external
        view
        returns (bytes32 positions, bytes32 collateral, uint64 version, bool complete)
    {
        Account storage a = _accounts[account];
        complete = a.parts[0] == _positionAttesters.length && a.parts[1] == _collateralAttesters.length;
        return (a.sums[0], a.sums[1], a.version, complete);
    }

    /// @notice Grows with every change of an account's commitments.
    function versionOf(address account) external view returns (uint64) {
        return _accounts[account].version;
    }

    /// @notice An attester's part: hash of the point and sequence number, zeros for none.
    function partOf(address account, uint8 role, address attester) external view returns (Held memory) {
        return _held[account][role][attester];
    }

    function _list(address[] memory list, uint8 bit) private {
        if (list.length == 0 || list.length > 64) revert BadAttesters();
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == address(0) || _roles[list[i]] & bit != 0) revert BadAttesters();
            _roles[list[i]] |= bit;
        }
    }

    function _isInfinity(bytes memory point) private pure returns (bool) {
        (bytes32 a, bytes32 b, bytes32 c) = abi.decode(point, (bytes32, bytes32, bytes32));
        return a | b | c == 0;
    }

    /// @dev a + b, or a - b, by G1ADD (375 gas; refuses what is off the curve).
    function _add(bytes memory a, bytes memory b, bool negative) private view returns (bytes memory sum) {
        sum = new bytes(96);
        bool ok;
        assembly ("memory-safe") {
            let free := mload(0x40)
            // x and y of 48 bytes into words of 64
            for { let i := 0 } lt(i, 0x100) { i := add(i, 0x20) } { mstore(add(free, i), 0) }
            mcopy(add(free, 0x10), add(a, 0x20), 0x30)
            mcopy(add(free, 0x50), add(a, 0x50), 0x30)
            mcopy(add(free, 0x90), add(b, 0x20), 0x30)
            mcopy(add(free, 0xd0), add(b, 0x50), 0x30)
            if negative {
                // p - y; y is never 0 in the subgroup
                let high := mload(add(free, 0xc0))
                let low := mload(add(free, 0xe0))
                let pl := 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab
                let difference := sub(pl, low)
                mstore(
                    add(free, 0xc0),
                    sub(sub(0x1a0111ea397fe69a4b1ba7b6434bacd7, high), lt(pl, low))
                )
                mstore(add(free, 0xe0), difference)
            }
            ok := staticcall(500, 0x0b, free, 0x100, free, 0x80)
            ok := and(ok, eq(returndatasize(), 0x80))
            mcopy(add(sum, 0x20), add(free, 0x10), 0x30)
            mcopy(add(sum, 0x50), add(free, 0x50), 0x30)
        }
        if (!ok) revert BadSum();
    }
}

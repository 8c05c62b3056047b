// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IChainVerifier} from "./IChainVerifier.sol";

/// @title What the verifiers of chain/v1 and chain-joint/v1 share: the pinned layout, the table, closed forms, openings
/// of the table, one MSM and one pairing check. Unaudited.
/// @notice It holds no state, has no owner and cannot be upgraded: what it pins is set once, when it is deployed, and
/// anybody can recompute it.
/// @dev Letters and equations are those of docs/protocol-chain.md. A verifier works on memory of its own, from 0x80 on,
/// and ends the call; `A_..` and `M_..` are addresses there, and the compiler's free memory pointer is not kept. So no
/// code here allocates, and what fails reverts by `_fail`. R is the order of the scalar field of BLS12-381.
abstract contract ChainVerifier is IChainVerifier {
    /// @dev N, listed rows of the positions.
    uint256 public immutable INSTRUMENTS;
    /// @dev G, one to eight risk groups.
    uint256 public immutable GROUPS;
    /// @dev S_0, and S_1, S_2, .. from the lowest byte up, scenarios of each group, with gain offsets its lines; 0 with one
    /// group.
    uint256 public immutable SCENARIOS_0;
    uint256 public immutable SCENARIOS_1;
    /// @dev Bit j < 4: asset j may be owed. Bits 4, 5, 6: a charge by size that is a floor, that is added times the
    /// factor, that is added as it is. Bit 7: gain offsets. Bit 8: group 2 h + 1 holds the dampened tails of group 2 h.
    uint256 public immutable FLAGS;
    /// @dev Digest of all of this, the setup and the pinned point.
    bytes32 public immutable LAYOUT_DIGEST;
    /// @dev The commitment to [t, sel_p, W, claim]: x || y.
    bytes32 private immutable PINNED_0;
    bytes32 private immutable PINNED_1;
    bytes32 private immutable PINNED_2;

    /// @dev keccak-256 of the Ethereum KZG ceremony's 4096 powers as zkmargin encodes them.
    bytes32 private constant SRS_DIGEST = 0xfb12c4dba024a4deb0a6b95566635ed09914f59326eef3d7b860df39d8f97d9e;
    bytes32 private constant LAYOUT_LABEL = "zkmargin/chain-layout/v1";
    bytes32 private constant TABLE_LABEL = "zkmargin/chain-table/v1";

    uint256 internal constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    uint256 internal constant R_1 = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000; // R - 1
    uint256 private constant TWO_256 = 0x1824b159acc5056f998c4fefecbc4ff55884b7fa0003480200000001fffffffe; // 2^256 mod R
    uint256 private constant OMEGA = 0x325db5c3debf77a18f4de02c0f776af3ea437f9626fc085e3c28d666a5c2d854; // order 1024
    uint256 private constant OMEGA_INV = 0x5164ca4cf7456c9b942c20e45c3ad14d9ce862487904d0ab1b561347c6a47727;
    uint256 private constant OMEGA_INV_4 = 0x18ba7658084c71a467e701a945e9b713df7b4ee66e4caccb7d01866add958780;
    uint256 private constant OMEGA_INV_16 = 0x640d097461a2eeaf4e84b3cd7dc75b61db872ef3dce28e788d28c143168bba2c;
    uint256 private constant OMEGA_INV_46 = 0x71b597e408eec004f78e806eb0f4022ff024d57952c2179c0ade8d476f637dd2;
    uint256 private constant OMEGA_INV_55 = 0x6024c7db395ba0b0fd78657de7686e336583dcbb8737c64f21f698c3549e1769;
    uint256 private constant OMEGA_INV_64 = 0x3b25b475ab91194b687a73c92f188612fc010d53ccb225425e544cdf4c887948;
    uint256 private constant OMEGA_INV_144 = 0x68f0ba2461933c32412d801131c542d24eb73f5d9958580573ea3fa3e6fe310f;
    uint256 private constant OMEGA_64 = 0x20b1ce9140267af9dd1c0af834cec32c17beb312f20b6f7653ea61d87742bcce;
    uint256 private constant OMEGA_256 = 0x00000000000000008d51ccce760304d0ec030002760300000001000000000000;
    uint256 private constant OMEGA_INV_256 = 0x73eda753299d7d47a5e80b39939ed33467baa40089fb5bfefffeffff00000001;
    uint256 private constant N_INV = 0x73d0abe954d315e8e12d0992079f6f8f5268b499ff3e5c68003fffff00400001; // 1/1024
    uint256 private constant OMEGA_1_INV = 0x2de3d72d1b3e85eac2da366e5e1caff2be07683fc3a780750ad7178ed97e5788; // 1/(omega - 1)

    /// @dev Where the first argument of variable length begins: after the selector, six words and its length.
    uint256 private constant FIRST = 0xe4;
    /// @dev Where the nonce of a single proof stands in the call's data; the table's id stands at 4.
    uint256 internal constant NONCE = 0x84;

    /// @dev Where what only wide layouts need stands (more than two groups, or charges by size), 0 for the others.
    uint256 internal constant M_WIDE = 0x60;
    // Arguments, 0x80 on. 0xe0, 0x1c0, 0x300, 0x320, 0x420, 0x6c0 and 0x6e0 .. 0x720 are each verifier's own.
    uint256 private constant A_TABLE = 0x80;
    uint256 private constant A_TABLE_LENGTH = 0xa0;
    uint256 private constant A_STORE = 0xc0;
    uint256 internal constant A_COUNT = 0x100;
    uint256 internal constant A_PROOFS = 0x120;
    uint256 internal constant A_PROOFS_LENGTH = 0x140;
    uint256 internal constant A_SCENARIOS_0 = 0x160;
    uint256 internal constant A_SCENARIOS_1 = 0x180;
    uint256 private constant A_DEBTS = 0x1a0;
    // What all proofs share.
    uint256 internal constant M_TABLE_HASH = 0x1e0;
    uint256 private constant M_FACTOR = 0x200;
    uint256 private constant M_ASSETS = 0x220;
    uint256 private constant M_LONG = 0x240;
    uint256 private constant M_SHORT = 0x260;
    uint256 private constant M_ROWS = 0x280; // table points of scenario rows
    uint256 private constant M_FIRST = 0x2a0; // those of group 0; of wide layouts every D_g - 1, 14 bits each
    uint256 internal constant M_POINTS = 0x2c0; // first entry of the proofs
    uint256 internal constant M_LAST = 0x2e0; // entries of W' in a batch
    uint256 private constant M_ROOTS = 0x340; // x_k that are needed
    // One proof's challenges (six words in a row) and what follows from them.
    uint256 internal constant M_BETA = 0x360;
    uint256 internal constant M_RHO = 0x380;
    uint256 internal constant M_CHI = 0x3a0;
    uint256 internal constant M_ZETA = 0x3c0;
    uint256 internal constant M_GAMMA = 0x3e0;
    uint256 internal constant M_X = 0x400;
    uint256 private constant M_P = 0x440; // rho^16
    uint256 private constant M_RHO_15 = 0x460;
    uint256 internal constant M_RHO_64 = 0x480;
    uint256 internal constant M_VANISHING = 0x4a0; // zeta^1024 - 1
    uint256 private constant M_SLACKS = 0x4c0;
    uint256 private constant M_HELD = 0x4e0;
    uint256 private constant M_OWED = 0x500; // four words
    uint256 private constant M_INVERSES = 0x580; // of x_k, then M_YS
    uint256 private constant M_YS = 0x5a0;
    uint256 internal constant M_RHO_4 = 0x5c0;
    // Values at zeta: f0 .. f6  mu  h0 h1 h2  phi(zeta) phi(omega zeta)  r0 .. r3  t sel_p W claim  marks som_0  [som_1 f7]
    uint256 internal constant V = 0x5e0;
    uint256 internal constant V_F6 = 0x6a0;
    uint256 internal constant V_PHI = 0x740;
    uint256 internal constant V_SHIFTED = 0x760;
    uint256 private constant V_ROWS = 0x780;
    uint256 internal constant V_T = 0x800;
    uint256 internal constant V_SELECTOR = 0x820;
    uint256 private constant V_CHARGES = 0x840;
    uint256 private constant V_CLAIM = 0x860;
    uint256 private constant V_MARKS = 0x880;
    uint256 private constant V_MINIMUM_0 = 0x8a0;
    uint256 private constant V_MINIMUM_1 = 0x8c0;
    uint256 internal constant V_F7 = 0x8e0;
    // Hash buffer; later denominators, their running products, numerators.
    uint256 internal constant BUFFER = 0x900;
    uint256 private constant DEN = 0x900;
    uint256 private constant PRE = 0x1140;
    uint256 private constant NUM = 0x1980;
    /// @dev Entries of the MSM: table points, the pinned and the price point, the generator, then those of the proofs.
    uint256 internal constant MSM = 0x1ba0;
    // From M_WIDE on: values of the side rows; denominators, running products and numerators of the numbers there; these
    // numbers, A, F, B_0, .., W_0, .. at zeta without the factor Z/n; sums; S_g, 64 column + 4 block and blocks of a group.
    uint256 private constant X_DEN = 0x400;
    uint256 private constant X_PRE = 0x700; // after a denominator
    uint256 private constant X_NUM = 0xe00; // after a denominator
    uint256 private constant X_A = 0x1900;
    uint256 private constant X_F = 0x1920;
    uint256 private constant X_FLOORS = 0x1940; // of a group of tails its b
    uint256 private constant X_CHARGES = 0x1a40;
    uint256 private constant X_LONG = 0x1b40;
    uint256 private constant X_SHORT = 0x1b60;
    uint256 private constant X_FIRST = 0x1b80;
    uint256 private constant X_SECOND = 0x1ba0;
    uint256 private constant X_CHARGED = 0x1bc0;
    uint256 private constant X_GROUPS = 0x1c00; // eight of three words, then zeros
    uint256 private constant X_OVER = 0x1f60; // rho^(64 c) / (kappa_k - rho) of all blocks 16 c + k

    /// @param instruments N, 1 to 1023.
    /// @param scenarios0 S_0, 1 to 64.
    /// @param scenarios1 S_1, S_2, .. from the lowest byte up, or 0 with one group.
    /// @param flags bit j < 4 set where asset j may be owed; bits 4 to 7, see FLAGS.
    /// @param pinned the 96 bytes of the point that N decides (`zkmargin snapshot table` prints it). A wrong one accepts
    /// nothing honest and may accept what is false: check it before you trust a deployment (`zkmargin chain status`).
    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 flags, bytes memory pinned) {
        if (instruments == 0 || instruments > 1023 || pinned.length != 96) revert BadLayout();
        if (flags >> 8 != (_takesTails() ? 1 : 0) || (_takesTails() && flags & 128 == 0)) revert BadLayout();
        uint256 groups;
        if (_takesWide()) {
            if (flags < 16 && scenarios1 < 0x100) revert BadLayout();
            groups = _groupsThatFit(scenarios0, scenarios1, flags >> 4);
            if (_takesTails() && groups & 1 != 0) revert BadLayout();
        } else {
            if (scenarios0 == 0 || scenarios0 > 64 || scenarios1 > 64 || flags > 15) revert BadLayout();
            groups = scenarios1 == 0 ? 1 : 2;
        }
        (bytes32 a, bytes32 b, bytes32 c) = abi.decode(pinned, (bytes32, bytes32, bytes32));
        if (a | b | c == 0) revert BadLayout();
        (INSTRUMENTS, GROUPS, SCENARIOS_0, SCENARIOS_1, FLAGS) = (instruments, groups, scenarios0, scenarios1, flags);
        (PINNED_0, PINNED_1, PINNED_2) = (a, b, c);
        LAYOUT_DIGEST = keccak256(
            abi.encodePacked(
                bytes1(0x03), LAYOUT_LABEL, SRS_DIGEST, instruments, groups, scenarios0, scenarios1, flags, pinned
            )
        );
    }

    /// @dev G, where every group has 1 to 64 scenarios and an index for each of its charges by size, and where more than
    /// two fit into two columns of sixteen blocks. With gain offsets all groups share the columns, 1 to 128 lines each.
    function _groupsThatFit(uint256 scenarios0, uint256 scenarios1, uint256 gross) private pure returns (uint256 groups) {
        uint256 used = 0;
        uint256 s = scenarios0;
        bool offsets = gross > 7;
        bool shared = offsets || scenarios1 > 0xff;
        while (true) {
            uint256 last = _lastOffset(gross, groups);
            if (s == 0 || s > 128 || (_isTails(groups) && s < 3)) revert BadLayout();
            if (!offsets && (s > 64 || (gross != 0 && s + last > 63))) revert BadLayout();
            uint256 blocks = (s + last + 4) >> 2;
            if (!offsets && shared && (used & 15) + blocks > 16) used = 16 * ((used >> 4) + 1);
            if (!offsets && shared && blocks > 16) revert BadLayout();
            used += blocks;
            if (shared && used > 32) revert BadLayout();
            if (++groups > 8) revert BadLayout();
            if (scenarios1 == 0) return groups;
            s = scenarios1 & 0xff;
            scenarios1 >>= 8;
        }
    }

    /// @dev Whether a group holds the dampened tails of the one before it.
    function _isTails(uint256 group) private pure returns (bool) {
        return _takesTails() && group & 1 != 0;
    }

    /// @dev The last index after a group's scenarios that is used: 0 the short option minimum, 1 and 2 a floor by size, of
    /// group 0 also 3 and 4, what is added.
    function _lastOffset(uint256 gross, uint256 group) private pure returns (uint256) {
        if (_isTails(group)) return 0;
        if (group == 0 && gross & 4 != 0) return 4;
        if (group == 0 && gross & 2 != 0) return 3;
        return 2 * (gross & 1);
    }

    /// @inheritdoc IChainVerifier
    function pins() external view returns (bytes32 digest, bytes memory pinned) {
        return (LAYOUT_DIGEST, abi.encodePacked(PINNED_0, PINNED_1, PINNED_2));
    }

    /// @inheritdoc IChainVerifier
    function verify(TableId calldata, bytes calldata table, bytes32, bytes calldata proof)
        external
        view
        returns (bytes32, bytes32)
    {
        uint256 tableAt;
        uint256 proofAt;
        assembly {
            tableAt := table.offset
            proofAt := proof.offset
        }
        _shape(tableAt, tableAt + table.length + 32, proofAt, proof.length);
        _arguments(tableAt, table.length, address(0), proofAt, proof.length);
        return _checkOne();
    }

    /// @inheritdoc IChainVerifier
    function verifyStored(TableId calldata, address store, bytes32, bytes calldata proof)
        external
        view
        returns (bytes32, bytes32)
    {
        uint256 proofAt;
        assembly {
            proofAt := proof.offset
        }
        _shape(FIRST, FIRST, proofAt, proof.length);
        _arguments(0, 0, store, proofAt, proof.length);
        return _checkOne();
    }

    /// @dev Checks the proof of `verify`, whose nonce stands at `NONCE`, and ends the call: it returns (table hash,
    /// statement digest), or reverts.
    function _checkOne() internal view virtual returns (bytes32 tableHash, bytes32 statementDigest);

    /// @dev One encoding of one call: arguments stand where the ABI's own encoder puts them, and nothing follows.
    function _shape(uint256 first, uint256 expected, uint256 proofsAt, uint256 proofsLength) internal pure {
        if (first != FIRST || proofsAt != expected || msg.data.length != proofsAt + proofsLength) revert BadCalldata();
    }

    /// @dev Where the arguments stand, and the pinned layout, into memory: scenarios and debts, the layout digest into
    /// the buffer of the table hash, the pinned point where challenges will be.
    function _arguments(
        uint256 tableAt,
        uint256 tableLength,
        address store,
        uint256 proofsAt,
        uint256 proofsLength
    ) internal view {
        uint256 s0 = SCENARIOS_0;
        uint256 s1 = SCENARIOS_1;
        uint256 flags = FLAGS;
        uint256 debts = _takesWide() ? flags & 15 : flags;
        bytes32 digest = LAYOUT_DIGEST;
        bytes32 a = PINNED_0;
        bytes32 b = PINNED_1;
        bytes32 c = PINNED_2;
        assembly {
            mstore(A_TABLE, tableAt)
            mstore(A_TABLE_LENGTH, tableLength)
            mstore(A_STORE, store)
            mstore(A_PROOFS, proofsAt)
            mstore(A_PROOFS_LENGTH, proofsLength)
            mstore(A_SCENARIOS_0, s0)
            mstore(A_SCENARIOS_1, s1)
            mstore(A_DEBTS, debts)
            mstore(add(BUFFER, 0xa0), digest)
            mstore(M_BETA, a)
            mstore(add(M_BETA, 0x20), b)
            mstore(add(M_BETA, 0x40), c)
        }
    }

    // --- small things ------------------------------------------------------------------------------------------------

    function _fail(bytes4 selector) internal pure {
        assembly {
            mstore(0x00, selector)
            revert(0x00, 0x04)
        }
    }

    function _failAt(bytes4 selector, uint256 place) internal pure {
        assembly {
            mstore(0x00, selector)
            mstore(0x04, place)
            revert(0x00, 0x24)
        }
    }

    function _load(uint256 place) internal pure returns (uint256 v) {
        assembly {
            v := mload(place)
        }
    }

    function _store(uint256 place, uint256 v) internal pure {
        assembly {
            mstore(place, v)
        }
    }

    function _word(uint256 offset) internal pure returns (uint256 v) {
        assembly {
            v := calldataload(offset)
        }
    }

    function _fourth(uint256 x) internal pure returns (uint256 y) {
        y = mulmod(x, x, R);
        y = mulmod(y, y, R);
    }

    /// @dev x^(2^k).
    function _squared(uint256 x, uint256 k) internal pure returns (uint256 y) {
        assembly {
            y := x
            for {} k { k := sub(k, 1) } { y := mulmod(y, y, R) }
        }
    }

    /// @dev v + x v' + x^2 v''.
    function _three(uint256 x, uint256 v, uint256 v1, uint256 v2) internal pure returns (uint256) {
        return addmod(v, mulmod(x, addmod(v1, mulmod(x, v2, R), R), R), R);
    }

    function _four(uint256 x, uint256 v, uint256 v1, uint256 v2, uint256 v3) internal pure returns (uint256) {
        return addmod(v, mulmod(x, _three(x, v1, v2, v3), R), R);
    }

    /// @dev f + 1024 f' + 1024^2 f''.
    function _digits(uint256 f) internal pure returns (uint256) {
        return _three(1024, _load(f), _load(f + 0x20), _load(f + 0x40));
    }

    /// @dev h b0 b1 b2 - b0 b1 - b0 b2 - b1 b2, b = beta + f.
    function _helper(uint256 h, uint256 f) internal pure returns (uint256 g) {
        assembly {
            let beta := mload(M_BETA)
            let x := addmod(mload(f), beta, R)
            let y := addmod(mload(add(f, 0x20)), beta, R)
            let z := addmod(mload(add(f, 0x40)), beta, R)
            let xy := mulmod(x, y, R)
            g := addmod(
                mulmod(h, mulmod(xy, z, R), R), sub(R, addmod(xy, mulmod(addmod(x, y, R), z, R), R)), R
            )
        }
    }

    // --- transcript --------------------------------------------------------------------------------------------------

    /// @dev The statement of a proof: H(0x00 || protocol || table hash || context || its bytes in the call's data), the
    /// context H(chain id || this contract || its caller || nonce).
    function _statement(uint256 buffer, bytes32 protocol, uint256 nonce, uint256 offset, uint256 length)
        internal
        view
        returns (uint256 state)
    {
        assembly {
            mstore(buffer, chainid())
            mstore(add(buffer, 0x20), address())
            mstore(add(buffer, 0x40), caller())
            mstore(add(buffer, 0x60), nonce)
            let context := keccak256(buffer, 0x80)
            mstore(buffer, 0)
            mstore(add(buffer, 0x20), protocol)
            mstore(add(buffer, 0x40), mload(M_TABLE_HASH))
            mstore(add(buffer, 0x60), context)
            calldatacopy(add(buffer, 0x80), offset, length)
            state := keccak256(add(buffer, 0x1f), add(length, 0x61))
        }
    }

    /// @dev 1 <= num, den < 2^16, at `offset` and the next word.
    function _claimInRange(uint256 offset) internal pure {
        unchecked {
            if (_word(offset) - 1 > 0xfffe || _word(offset + 32) - 1 > 0xfffe) _fail(ClaimOutOfRange.selector);
        }
    }

    /// @dev state <- H(0x01 || state || data).
    function _absorb(uint256 buffer, uint256 state, uint256 offset, uint256 length)
        internal
        pure
        returns (uint256 next)
    {
        assembly {
            mstore(buffer, 1)
            mstore(add(buffer, 0x20), state)
            calldatacopy(add(buffer, 0x40), offset, length)
            next := keccak256(add(buffer, 0x1f), add(length, 0x21))
        }
    }

    /// @dev int(H(0x02 || state || 2 i) || H(0x02 || state || 2 i + 1)) mod R.
    function _challenge(uint256 state, uint256 i) internal pure returns (uint256 x) {
        assembly {
            mstore(0x00, 2)
            mstore(0x20, state)
            mstore8(0x40, shl(1, i))
            x := mulmod(keccak256(0x1f, 0x22), TWO_256, R)
            mstore8(0x40, add(shl(1, i), 1))
            x := addmod(x, keccak256(0x1f, 0x22), R)
        }
        if (x == 0) _fail(ZeroChallenge.selector);
    }

    // --- points ------------------------------------------------------------------------------------------------------

    /// @dev A point of the call's data and its scalar as an entry of an MSM. `place` names it in the error.
    function _put(uint256 entry, uint256 offset, uint256 place, uint256 scalar) internal pure {
        uint256 bits;
        assembly {
            bits := or(or(calldataload(offset), calldataload(add(offset, 0x20))), calldataload(add(offset, 0x40)))
        }
        if (bits == 0) _failAt(PointAtInfinity.selector, place);
        assembly {
            calldatacopy(add(entry, 0x10), offset, 0x30)
            calldatacopy(add(entry, 0x50), add(offset, 0x30), 0x30)
            mstore(add(entry, 0x80), scalar)
        }
    }

    /// @dev A point of memory as an entry, without its scalar.
    function _putTable(uint256 entry, uint256 from) private pure {
        uint256 bits;
        assembly {
            bits := or(or(mload(from), mload(add(from, 0x20))), mload(add(from, 0x40)))
        }
        if (bits == 0) _failAt(PointAtInfinity.selector, 16);
        assembly {
            mcopy(add(entry, 0x10), from, 0x30)
            mcopy(add(entry, 0x50), add(from, 0x30), 0x30)
        }
    }

    function _accumulate(uint256 entry, uint256 scalar) private pure {
        assembly {
            let there := add(entry, 0x80)
            mstore(there, addmod(mload(there), scalar, R))
        }
    }

    /// @dev The price of a G1MSM of k points (EIP-2537), from above, at most 5 % more.
    function _price(uint256 k) private pure returns (uint256 g) {
        assembly {
            let discount := 519
            if lt(k, 128) { discount := 544 }
            if lt(k, 96) { discount := 559 }
            if lt(k, 80) { discount := 576 }
            if lt(k, 64) { discount := 598 }
            if lt(k, 48) { discount := 627 }
            if lt(k, 32) { discount := 648 }
            if lt(k, 24) { discount := 677 }
            if lt(k, 16) { discount := 698 }
            if lt(k, 12) { discount := 728 }
            if lt(k, 8) { discount := 797 }
            if lt(k, 4) { discount := 1000 }
            g := mul(mul(k, 12), discount)
        }
    }

    function _msm(uint256 from, uint256 to, uint256 result) internal view {
        bool ok;
        bool whole;
        uint256 given;
        unchecked {
            given = _price((to - from) / 160);
        }
        assembly {
            ok := staticcall(given, 0x0c, from, sub(to, from), result, 0x80)
            whole := eq(returndatasize(), 0x80)
        }
        if (!ok) _fail(InvalidPoint.selector);
        if (!whole) _fail(NoPrecompile.selector);
    }

    // --- the table ---------------------------------------------------------------------------------------------------

    /// @dev Reads and hashes the table and places its points. `M_POINTS` is left at the first entry after them.
    function _table() internal view {
        uint256 sides = (_sideRows() + 3) >> 2;
        uint256 length;
        uint256 content = BUFFER + 0x100;
        bool fits = true;
        assembly {
            // content: factor and M, long values, short values, price point, those of side rows, points of the rows
            let first := shr(2, add(mload(A_SCENARIOS_0), 3))
            let rows := first
            switch sides
            case 0 { rows := add(first, shr(2, add(mload(A_SCENARIOS_1), 3))) }
            default {
                for { let s := mload(A_SCENARIOS_1) } s { s := shr(8, s) } {
                    rows := add(rows, shr(2, add(and(s, 0xff), 3)))
                }
            }
            mstore(M_ROWS, rows)
            mstore(M_FIRST, first)
            length := add(192, mul(96, add(sides, rows)))
            switch mload(A_STORE)
            case 0 {
                fits := eq(mload(A_TABLE_LENGTH), length)
                calldatacopy(content, mload(A_TABLE), length)
            }
            default {
                let store_ := mload(A_STORE)
                // what is not there reads as zeros, and hashes to another table
                extcodecopy(store_, content, 1, length)
            }
        }
        if (!fits) _fail(WrongTableLength.selector);
        assembly {
            mstore(add(BUFFER, 0xc0), keccak256(content, length))
            // id: series, sequence, snapshot; the layout digest stands at 0xa0 already
            mstore(BUFFER, 3)
            mstore(add(BUFFER, 0x20), TABLE_LABEL)
            calldatacopy(add(BUFFER, 0x40), 4, 0x60)
            mstore(M_TABLE_HASH, keccak256(add(BUFFER, 0x1f), 0xc1))
            let word := mload(content)
            mstore(M_FACTOR, and(shr(8, word), 0xffffffff))
            mstore(M_ASSETS, and(word, 0xff))
            mstore(M_LONG, mload(add(content, 0x20)))
            mstore(M_SHORT, mload(add(content, 0x40)))
        }
        unchecked {
            uint256 entry = MSM;
            uint256 from = content + 192 + 96 * sides;
            for (uint256 end = MSM + 160 * _load(M_ROWS); entry < end; entry += 160) {
                _putTable(entry, from);
                from += 96;
            }
            _putTable(entry, M_BETA); // the pinned point waits where challenges will be
            _putTable(entry + 160, content + 96);
            entry += 320;
            if (_takesWide()) {
                from = content + 192;
                for (uint256 end = entry + 160 * sides; entry < end; entry += 160) {
                    _putTable(entry, from);
                    from += 96;
                }
            }
            assembly {
                mstore(entry, 0x0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f)
                mstore(add(entry, 0x20), 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb)
                mstore(add(entry, 0x40), 0x0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4)
                mstore(add(entry, 0x60), 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1)
                mstore(M_POINTS, add(entry, 160))
            }
            if (_takesWide()) {
                _store(M_ROOTS, 512);
                _store(M_FIRST, _load(content) >> 40);
                return;
            }
            assembly {
                // x_k: as many as table points or the index of a short option minimum ask for
                let k := mload(M_FIRST)
                let s := shr(2, mload(A_SCENARIOS_0))
                if lt(s, 16) { if lt(k, add(s, 1)) { k := add(s, 1) } }
                let second := sub(mload(M_ROWS), mload(M_FIRST))
                if lt(k, second) { k := second }
                s := shr(2, mload(A_SCENARIOS_1))
                if lt(s, 16) { if lt(k, add(s, 1)) { k := add(s, 1) } }
                mstore(M_ROOTS, shl(5, k))
            }
        }
    }

    // --- closed forms ------------------------------------------------------------------------------------------------

    /// @dev Every denominator of the closed forms, inverted together by the inverse of their product, which is sent:
    /// one product checks it, where MODEXP costs 4,064 gas. 0 has no inverse: a pole is a rejection. Leaves P, rho^15,
    /// the sums of slack, held and owed cells (without the factor Z/n), and 1/.. of the x_k at M_INVERSES.
    function _denominators(uint256 inverse) internal view {
        uint256 given = inverse;
        if (_takesWide()) {
            if (given >= R) _fail(BadInverse.selector);
            given = mulmod(given, _wideDenominators(), R);
        }
        _baseDenominators(given);
        // 1/(base product wide product) times the base product, which stands at 0
        if (_takesWide()) _wideNumbers(mulmod(inverse, _load(0x00), R));
    }

    /// @dev The same for the closed forms of every layout; leaves their product at 0.
    function _baseDenominators(uint256 inverse) private pure {
        bool good;
        uint256 wide = _wideAt();
        assembly {
            function denominator(o, running, x) -> product {
                mstore(add(DEN, o), x)
                mstore(add(PRE, o), running)
                product := mulmod(running, x, R)
            }
            let zeta := mload(M_ZETA)
            let rho := mload(M_RHO)
            let minus := sub(R, rho)
            let rho4 := mulmod(rho, rho, R)
            rho4 := mulmod(rho4, rho4, R)
            mstore(M_RHO_4, rho4)
            let rho8 := mulmod(rho4, rho4, R)
            let P := mulmod(rho8, rho8, R)
            mstore(M_P, P)
            mstore(M_RHO_15, mulmod(mulmod(rho8, rho4, R), mulmod(mulmod(rho, rho, R), rho, R), R))
            let a := 1
            let Y := zeta
            let o := 0
            {
                // slack cells c = 9 a + d: N/D = (Y^16 - P) / ((Y^16 - 1) (Y - rho)), Y = zeta omega^-c. Three at a
                // time: N/D + 2^10 N'/D' + 2^20 N''/D'' is one fraction.
                let e := mulmod(zeta, zeta, R)
                e := mulmod(e, e, R)
                e := mulmod(e, e, R)
                e := mulmod(e, e, R)
                let nP := sub(R, P)
                for {} lt(o, 384) { o := add(o, 32) } {
                    let n := addmod(e, nP, R)
                    let x := mulmod(addmod(e, R_1, R), addmod(Y, minus, R), R)
                    Y := mulmod(Y, OMEGA_INV, R)
                    e := mulmod(e, OMEGA_INV_16, R)
                    let x1 := mulmod(addmod(e, R_1, R), addmod(Y, minus, R), R)
                    n := addmod(mulmod(n, x1, R), mulmod(mulmod(addmod(e, nP, R), 1024, R), x, R), R)
                    x := mulmod(x, x1, R)
                    Y := mulmod(Y, OMEGA_INV, R)
                    e := mulmod(e, OMEGA_INV_16, R)
                    x1 := mulmod(addmod(e, R_1, R), addmod(Y, minus, R), R)
                    n := addmod(mulmod(n, x1, R), mulmod(mulmod(addmod(e, nP, R), 1048576, R), x, R), R)
                    x := mulmod(x, x1, R)
                    Y := mulmod(Y, OMEGA_INV, R)
                    e := mulmod(e, OMEGA_INV_16, R)
                    mstore(add(DEN, o), x)
                    mstore(add(PRE, o), a)
                    mstore(add(NUM, o), n)
                    a := mulmod(a, x, R)
                }
            }
            {
                // held cells c = 36 + d: the same with Y^4
                let e := mulmod(zeta, zeta, R)
                e := mulmod(mulmod(e, e, R), OMEGA_INV_144, R)
                let n4 := sub(R, rho4)
                for {} lt(o, 544) { o := add(o, 32) } {
                    let x := mulmod(addmod(e, R_1, R), addmod(Y, minus, R), R)
                    mstore(add(DEN, o), x)
                    mstore(add(PRE, o), a)
                    mstore(add(NUM, o), addmod(e, n4, R))
                    a := mulmod(a, x, R)
                    Y := mulmod(Y, OMEGA_INV, R)
                    e := mulmod(e, OMEGA_INV_4, R)
                }
            }
            // owed cells 256 j + 41 + d: Y - 1
            for { let debts := mload(A_DEBTS) } debts { debts := shr(1, debts) } {
                if and(debts, 1) {
                    let y := Y
                    for { let end := add(o, 160) } lt(o, end) { o := add(o, 32) } {
                        a := denominator(o, a, addmod(y, R_1, R))
                        y := mulmod(y, OMEGA_INV, R)
                    }
                }
                Y := mulmod(Y, OMEGA_INV_256, R)
            }
            let first := o
            mstore(M_INVERSES, add(DEN, o))
            {
                let root := 1
                for { let end := add(o, mload(M_ROOTS)) } lt(o, end) { o := add(o, 32) } {
                    a := denominator(o, a, addmod(root, minus, R))
                    root := mulmod(root, OMEGA_64, R)
                }
            }
            mstore(M_YS, add(DEN, o))
            {
                // I^j - rho, then Y_j - 1, Y_j = zeta omega^-j
                let root := 1
                let end := add(o, 128)
                for {} lt(o, end) { o := add(o, 32) } {
                    a := denominator(o, a, addmod(root, minus, R))
                    root := mulmod(root, OMEGA_256, R)
                }
                root := zeta
                for { end := add(o, 128) } lt(o, end) { o := add(o, 32) } {
                    a := denominator(o, a, addmod(root, R_1, R))
                    root := mulmod(root, OMEGA_INV, R)
                }
            }
            {
                let x := mload(M_X)
                let off := addmod(x, sub(R, zeta), R)
                let x2 := mulmod(x, x, R)
                a := denominator(o, a, off)
                a := denominator(
                    add(o, 32), a, mulmod(off, addmod(x, sub(R, mulmod(zeta, OMEGA, R)), R), R)
                )
                a := denominator(add(o, 64), a, addmod(mulmod(x2, x, R), sub(R, zeta), R))
                a := denominator(add(o, 96), a, addmod(mulmod(x2, x2, R), sub(R, zeta), R))
                a := denominator(add(o, 128), a, zeta)
                o := add(o, 160)
            }
            let v := inverse
            if wide { mstore(0x00, a) }
            good := and(lt(v, R), eq(mulmod(a, v, R), 1))
            for {} gt(o, first) {} {
                o := sub(o, 32)
                let inverted := mulmod(v, mload(add(PRE, o)), R)
                v := mulmod(v, mload(add(DEN, o)), R)
                mstore(add(DEN, o), inverted)
            }
            // sums, highest digit first
            for { let j := 4 } j {} {
                j := sub(j, 1)
                let t := 0
                if and(shr(j, mload(A_DEBTS)), 1) {
                    for { let end := sub(o, 160) } gt(o, end) {} {
                        o := sub(o, 32)
                        t := addmod(mulmod(t, 1024, R), mulmod(v, mload(add(PRE, o)), R), R)
                        v := mulmod(v, mload(add(DEN, o)), R)
                    }
                }
                mstore(add(M_OWED, shl(5, j)), t)
            }
            {
                let t := 0
                for {} gt(o, 384) {} {
                    o := sub(o, 32)
                    t := addmod(
                        mulmod(t, 1024, R),
                        mulmod(mload(add(NUM, o)), mulmod(v, mload(add(PRE, o)), R), R),
                        R
                    )
                    v := mulmod(v, mload(add(DEN, o)), R)
                }
                mstore(M_HELD, t)
            }
            let s := 0
            for {} o {} {
                let t := 0
                for { let end := sub(o, 96) } gt(o, end) {} {
                    o := sub(o, 32)
                    t := addmod(
                        mulmod(t, 1073741824, R),
                        mulmod(mload(add(NUM, o)), mulmod(v, mload(add(PRE, o)), R), R),
                        R
                    )
                    v := mulmod(v, mload(add(DEN, o)), R)
                }
                s := addmod(mulmod(s, P, R), t, R)
            }
            mstore(M_SLACKS, s)
        }
        if (!good) _fail(BadInverse.selector);
    }

    /// @dev What the commitments' coefficients are made of: U_positions, U_collateral and the selector of the rows
    /// beyond the assets, at zeta.
    function _committed(uint256 den)
        internal
        pure
        returns (uint256 uPositions, uint256 uCollateral, uint256 selector)
    {
        assembly {
            let w128 := mulmod(mload(M_RHO_64), mload(M_RHO_64), R)
            // r_0 + P r_1 + P^2 r_2 + P^3 r_3 + rho^128 den 10^4 marks
            let P := mload(M_P)
            let u := addmod(mload(add(V_ROWS, 0x40)), mulmod(P, mload(add(V_ROWS, 0x60)), R), R)
            u := addmod(mload(add(V_ROWS, 0x20)), mulmod(P, u, R), R)
            u := addmod(mload(V_ROWS), mulmod(P, u, R), R)
            uPositions := addmod(u, mulmod(mulmod(w128, mul(den, 10000), R), mload(V_MARKS), R), R)
            // sum_j L_j (rho^129 y_j + rho^128 den long_j), 1 - sum_{j < M} L_j
            let zn := mulmod(mload(M_VANISHING), N_INV, R)
            let scale := mulmod(mulmod(w128, mload(M_RHO), R), addmod(1, sub(R, mload(M_RHO_4)), R), R)
            let ys := mload(M_YS)
            selector := 1
            let long := mload(M_LONG)
            for { let j := 0 } lt(j, 4) { j := add(j, 1) } {
                let l := mulmod(zn, mload(add(ys, 0x80)), R)
                let w := addmod(
                    mulmod(scale, mload(ys), R),
                    mulmod(w128, mul(den, and(long, 0xffffffffffffffff)), R),
                    R
                )
                uCollateral := addmod(uCollateral, mulmod(l, w, R), R)
                if lt(j, mload(M_ASSETS)) { selector := addmod(selector, sub(R, l), R) }
                long := shr(64, long)
                ys := add(ys, 0x20)
            }
        }
    }

    /// @dev U of the packed columns at zeta: of group 0, with claim and balances, and of group 1 (0 with one group).
    function _packed(uint256 num, uint256 den) internal view returns (uint256 U, uint256 second) {
        bool good = true;
        uint256 wide = _wideAt();
        bool shared = _shared();
        bool one = _oneColumn();
        assembly {
            let w64 := mload(M_RHO_64)
            let w128 := mulmod(w64, w64, R)
            let zn := mulmod(mload(M_VANISHING), N_INV, R)
            let charges := mload(V_CHARGES)
            // groups that share the columns have cells of their own for W_g
            if shared { charges := 0 }
            // A = 16 rho^15 (1 + P) (1 + P^2) W - (16/n) Z slacks
            let A
            {
                let P := mload(M_P)
                A := mulmod(mulmod(16, mload(M_RHO_15), R), mulmod(addmod(1, P, R), addmod(1, mulmod(P, P, R), R), R), R)
                A := addmod(mulmod(A, charges, R), sub(R, mulmod(mulmod(16, zn, R), mload(M_SLACKS), R)), R)
            }
            // B = rho^128 num factor W
            let B := sub(R, mulmod(mulmod(w128, mul(num, mload(M_FACTOR)), R), charges, R))
            U := addmod(A, B, R)
            // - rho^128 claim
            U := addmod(U, sub(R, mulmod(w128, mload(V_CLAIM), R)), R)
            {
                // - rho^129 (4/n) Z held + sum_j (rho^129 y_j - rho^128 den (short_j - long_j)) (Z/n) owed_j
                let w129 := mulmod(w128, mload(M_RHO), R)
                let t := sub(R, mulmod(mulmod(4, w129, R), mload(M_HELD), R))
                let u := mulmod(w129, addmod(1, sub(R, mload(M_RHO_4)), R), R)
                let debts := mload(A_DEBTS)
                let ys := mload(M_YS)
                let bits := 0
                let owed := M_OWED
                for {} debts { debts := shr(1, debts) } {
                    if and(debts, 1) {
                        let spread := sub(
                            and(shr(bits, mload(M_SHORT)), 0xffffffffffffffff),
                            and(shr(bits, mload(M_LONG)), 0xffffffffffffffff)
                        )
                        if shr(64, spread) { good := 0 }
                        let w := addmod(mulmod(u, mload(ys), R), sub(R, mulmod(w128, mul(den, spread), R)), R)
                        t := addmod(t, mulmod(w, mload(owed), R), R)
                    }
                    bits := add(bits, 64)
                    ys := add(ys, 0x20)
                    owed := add(owed, 0x20)
                }
                U := addmod(U, mulmod(zn, t, R), R)
            }
            if iszero(one) { second := addmod(mulmod(w64, A, R), B, R) }
            if wide {
                U := addmod(U, mload(add(wide, X_FIRST)), R)
                second := addmod(second, mload(add(wide, X_SECOND)), R)
            }
        }
        if (!good) _fail(BadHaircut.selector);
    }

    /// @dev rho^(64 g) x_k P^a of the short option minimum, without rho^(64 g): index s = S_g = 4 k + a; none at 64.
    function _minimumWeight(uint256 s) private pure returns (uint256 w) {
        assembly {
            if lt(s, 64) {
                let P := mload(M_P)
                w := mulmod(addmod(1, sub(R, P), R), mload(add(mload(M_INVERSES), shl(5, shr(2, s)))), R)
                for { let a := and(s, 3) } a { a := sub(a, 1) } { w := mulmod(w, P, R) }
            }
        }
    }

    /// @dev w_0 som_0 + w_1 som_1 at zeta, and of wide layouts what else short positions are charged: - U_short.
    function _minimums() internal pure returns (uint256 w) {
        if (_wideAt() != 0) return _load(_wideAt() + X_SHORT);
        w = mulmod(_minimumWeight(_load(A_SCENARIOS_0)), _load(V_MINIMUM_0), R);
        if (_load(A_SCENARIOS_1) != 0) {
            uint256 second = mulmod(_load(M_RHO_64), _minimumWeight(_load(A_SCENARIOS_1)), R);
            w = addmod(w, mulmod(second, _load(V_MINIMUM_1), R), R);
        }
    }

    /// @dev What long positions are charged by size, at zeta: - U_long. 0 where nothing is.
    function _longs() internal pure returns (uint256) {
        uint256 wide = _wideAt();
        return wide == 0 ? 0 : _load(wide + X_LONG);
    }

    // --- wide layouts: charges by size, more than two groups, gain offsets -------------------------------------------

    /// @dev Whether this contract is one for wide layouts. The others have none of what follows in their code.
    function _takesWide() internal pure virtual returns (bool) {
        return false;
    }

    /// @dev Whether this contract is one for layouts with dampened tails, which are wide. The others have none of it.
    function _takesTails() internal pure virtual returns (bool) {
        return false;
    }

    function _wideAt() internal pure returns (uint256) {
        return _takesWide() ? _load(M_WIDE) : 0;
    }

    /// @dev Whether groups share the packed columns, block after block.
    function _shared() internal view returns (bool) {
        return _takesWide() && (FLAGS > 127 || _load(A_SCENARIOS_1) > 0xff);
    }

    /// @dev Whether there is no f_7.
    function _oneColumn() internal view returns (bool) {
        return _load(A_SCENARIOS_1) == 0 && !(_takesWide() && FLAGS > 127);
    }

    /// @dev D_g: what a money unit counts in the rows of a group.
    function _scale(uint256 g) private pure returns (uint256) {
        unchecked {
            return 1 + ((_load(M_FIRST) >> (14 * g)) & 0x3fff);
        }
    }

    /// @dev sel_p (r_0 + P r_1 + P^2 r_2 + P^3 r_3) at zeta: the constants of gain offsets stand where no instrument does.
    function _constants() internal view returns (uint256) {
        if (FLAGS < 128) return 0;
        return mulmod(
            _load(V_SELECTOR),
            _four(_load(M_P), _load(V_ROWS), _load(V_ROWS + 0x20), _load(V_ROWS + 0x40), _load(V_ROWS + 0x60)),
            R
        );
    }

    /// @dev Price rows beside those of every layout: minimums of the groups after the second; floors, two a group; two
    /// for what is added, two for what is added as it is; groups of tails have none. 0 where the layout is not wide.
    function _sideRows() internal view returns (uint256 rows) {
        unchecked {
            if (!_takesWide()) return 0;
            uint256 gross = FLAGS >> 4;
            uint256 others = _load(A_SCENARIOS_1);
            uint256 groups = 1;
            for (; others != 0; others >>= 8) ++groups;
            if (groups > 2) rows = groups - 2;
            if (_takesTails()) {
                groups >>= 1;
                rows = groups - 1;
            }
            if (gross & 1 != 0) rows += 2 * groups;
            return rows + (gross & 2) + ((gross & 4) >> 1);
        }
    }

    /// @dev Makes room for what only wide layouts need at `place`, on memory that is still zero, and puts the groups there.
    function _widen(uint256 place) internal view {
        unchecked {
            if (!_takesWide()) return;
            _store(M_WIDE, place);
            uint256 gross = FLAGS >> 4;
            uint256 others = _load(A_SCENARIOS_1);
            uint256 s = _load(A_SCENARIOS_0);
            uint256 index = 0;
            uint256 slot = place + X_GROUPS;
            for (uint256 g = 0; s != 0; ++g) {
                uint256 blocks = (s + _lastOffset(gross, g) + 4) >> 2;
                if (!_shared()) index = 64 * g;
                else if (FLAGS < 128 && (index & 63) + 4 * blocks > 64) index = 64;
                _store(slot, s);
                _store(slot + 0x20, index);
                _store(slot + 0x40, blocks);
                slot += 0x60;
                index += 4 * blocks;
                s = others & 0xff;
                others >>= 8;
            }
        }
    }

    /// @dev Denominators Y - 1 of the cells of A, F, every B_g (of a group of tails b) and every W_g that has cells of its
    /// own, three at a time: 1/D + 2^10/D' + 2^20/D'' is one fraction. The product of all.
    function _wideDenominators() private view returns (uint256 product) {
        unchecked {
            product = 1;
            uint256 o = _wideAt() + X_DEN;
            uint256 zeta = _load(M_ZETA);
            uint256 gross = FLAGS >> 4;
            uint256 Y = mulmod(zeta, OMEGA_INV_46, R);
            uint256 Y2 = mulmod(mulmod(Y, OMEGA_INV_64, R), OMEGA_INV_64, R);
            if (gross & 2 != 0) (o, product) = _ninth(o, Y2, product);
            if (gross & 4 != 0) (o, product) = _ninth(o, mulmod(Y2, OMEGA_INV_64, R), product);
            // omega^512 = -1
            if (_takesTails() || gross & 1 != 0) (o, product) = _everyNinth(o, R - Y, product);
            if (_shared()) (o, product) = _everyNinth(o, mulmod(zeta, OMEGA_INV_55, R), product);
        }
    }

    /// @dev A number of each group, 64 rows apart.
    function _everyNinth(uint256 o, uint256 Y, uint256 product) private pure returns (uint256, uint256) {
        unchecked {
            for (uint256 slot = _wideAt() + X_GROUPS; _load(slot) != 0; slot += 0x60) {
                (o, product) = _ninth(o, Y, product);
                Y = mulmod(Y, OMEGA_INV_64, R);
            }
            return (o, product);
        }
    }

    function _ninth(uint256 o, uint256 Y, uint256 product) private pure returns (uint256, uint256) {
        assembly {
            for { let end := add(o, 96) } lt(o, end) { o := add(o, 32) } {
                let x := addmod(Y, R_1, R)
                Y := mulmod(Y, OMEGA_INV, R)
                let x1 := addmod(Y, R_1, R)
                Y := mulmod(Y, OMEGA_INV, R)
                let x2 := addmod(Y, R_1, R)
                Y := mulmod(Y, OMEGA_INV, R)
                let n := mulmod(addmod(x1, mulmod(1024, x, R), R), x2, R)
                x := mulmod(x, x1, R)
                mstore(add(o, X_NUM), addmod(n, mulmod(1048576, x, R), R))
                x := mulmod(x, x2, R)
                mstore(o, x)
                mstore(add(o, X_PRE), product)
                product := mulmod(product, x, R)
            }
        }
        return (o, product);
    }

    /// @dev A, F, B_g and W_g at zeta without the factor Z/n, the last one first, from the inverse of the product.
    function _wideNumbers(uint256 v) private view {
        unchecked {
            uint256 wide = _wideAt();
            uint256 gross = FLAGS >> 4;
            bool shared = _shared();
            uint256 floors = _takesTails() ? 1 : gross & 1;
            uint256 count = ((gross >> 1) & 1) + ((gross >> 2) & 1) + GROUPS * (floors + (shared ? 1 : 0));
            uint256 o = wide + X_DEN + 96 * count;
            if (shared) (o, v) = _numbers(o, v, wide + X_CHARGES);
            if (floors != 0) (o, v) = _numbers(o, v, wide + X_FLOORS);
            if (gross & 4 != 0) (o, v) = _number(o, v, wide + X_F);
            if (gross & 2 != 0) (o, v) = _number(o, v, wide + X_A);
        }
    }

    function _numbers(uint256 o, uint256 v, uint256 to) private view returns (uint256, uint256) {
        unchecked {
            for (uint256 g = GROUPS; g != 0; --g) (o, v) = _number(o, v, to + 32 * g - 32);
            return (o, v);
        }
    }

    function _number(uint256 o, uint256 v, uint256 to) private pure returns (uint256, uint256) {
        assembly {
            let t := 0
            for { let end := sub(o, 96) } gt(o, end) {} {
                o := sub(o, 32)
                t := addmod(
                    mulmod(t, 1073741824, R),
                    mulmod(mload(add(o, X_NUM)), mulmod(v, mload(add(o, X_PRE)), R), R),
                    R
                )
                v := mulmod(v, mload(o), R)
            }
            mstore(to, t)
        }
        return (o, v);
    }

    /// @dev rho^(64 c) x_k P^a of index 64 c + 4 k + a.
    function _weight(uint256 index) private pure returns (uint256 w) {
        uint256 over = _over(index);
        assembly {
            let P := mload(M_P)
            w := mulmod(addmod(1, sub(R, P), R), mload(over), R)
            for { let a := and(index, 3) } a { a := sub(a, 1) } { w := mulmod(w, P, R) }
        }
    }

    /// @dev Where rho^(64 c) / (kappa_k - rho) of index 64 c + 4 k + a stands.
    function _over(uint256 index) private pure returns (uint256) {
        unchecked {
            return _wideAt() + X_OVER + 32 * (index >> 2);
        }
    }

    /// @dev Puts them there.
    function _overAll() private pure {
        uint256 to = _over(0);
        assembly {
            let w := mload(M_RHO_64)
            let from := mload(M_INVERSES)
            for { let end := add(from, 512) } lt(from, end) { from := add(from, 32) } {
                let x := mload(from)
                mstore(to, x)
                mstore(add(to, 512), mulmod(x, w, R))
                to := add(to, 32)
            }
        }
    }

    /// @dev What wide layouts have besides in U_long, U_short and in the packed columns, at zeta.
    function _wideForms(uint256 num) internal view {
        unchecked {
            _overAll();
            uint256 wide = _wideAt();
            uint256 w128 = mulmod(_load(M_RHO_64), _load(M_RHO_64), R);
            _store(wide + X_CHARGED, mulmod(w128, num * _load(M_FACTOR), R));
            _store(wide + X_LONG, 0);
            _store(wide + X_SHORT, 0);
            _store(wide + X_FIRST, 0);
            _store(wide + X_SECOND, 0);
            uint256 gross = FLAGS >> 4;
            uint256 side = _charges(wide, gross & 1 != 0);
            uint256 s = _load(wide + X_GROUPS);
            uint256 first = 0;
            if (gross & 2 != 0) {
                // (10^4 w - rho^128 num factor) A, - w D_0 W_0
                uint256 w = _weight(s + 3);
                side = _sized(wide, w, side);
                uint256 t = addmod(mulmod(10000, w, R), R - _load(wide + X_CHARGED), R);
                first = addmod(first, mulmod(t, _load(wide + X_A), R), R);
                _addCharge(wide, 0, R - mulmod(w, _scale(0), R));
            }
            if (gross & 4 != 0) {
                // 10^4 (w - rho^128 num) F, - w D_0 W_0
                uint256 w = _weight(s + 4);
                _sized(wide, w, side);
                uint256 t = mulmod(10000, addmod(w, R - mulmod(w128, num, R), R), R);
                first = addmod(first, mulmod(t, _load(wide + X_F), R), R);
                _addCharge(wide, 0, R - mulmod(w, _scale(0), R));
            }
            first = mulmod(first, mulmod(_load(M_VANISHING), N_INV, R), R);
            _store(wide + X_FIRST, addmod(_load(wide + X_FIRST), first, R));
        }
    }

    /// @dev Every group's minimum, its floor and, of more than two groups, its W_g; where the next side rows stand.
    function _charges(uint256 wide, bool floors) private view returns (uint256 side) {
        unchecked {
            bool shared = _shared();
            side = wide + (GROUPS > 2 ? 32 * GROUPS - 64 : 0);
            if (_takesTails()) side = wide + 16 * GROUPS - 32;
            uint256 slot = wide + X_GROUPS;
            for (uint256 g = 0; _load(slot) != 0; ++g) {
                uint256 index = _load(slot + 0x20) + _load(slot);
                uint256 scale = _scale(g);
                if (_isTails(g)) {
                    _tails(wide, g, index, scale, _all(slot));
                    slot += 0x60;
                    continue;
                }
                // 64 scenarios leave no index for a minimum
                if (shared || _load(slot) < 64) {
                    uint256 som = g < 2 ? V_MINIMUM_0 + 32 * g : wide + (_takesTails() ? 16 * g - 32 : 32 * g - 64);
                    uint256 w = mulmod(_weight(index), _load(som), R);
                    _store(wide + X_SHORT, addmod(_load(wide + X_SHORT), w, R));
                }
                if (shared) _addCharge(wide, g, addmod(mulmod(_all(slot), scale, R), R - _load(wide + X_CHARGED), R));
                if (floors) {
                    // (10^4 w - D_g w') B_g, - w D_g W_g: w' is the weight of D_g (W_g - B_g) = slack
                    uint256 w = _weight(index + 1);
                    side = _sized(wide, w, side);
                    _addCharge(wide, g, R - mulmod(w, scale, R));
                    w = addmod(mulmod(10000, w, R), R - mulmod(_weight(index + 2), scale, R), R);
                    _addFloor(wide, mulmod(w, _load(wide + X_FLOORS + 32 * g), R));
                }
                slot += 0x60;
            }
        }
    }

    /// @dev A group of tails: V in all its indices, taken off in the two lines before `index`, W of the group before in
    /// the last one, b in both: D (w - 2 w_1 - 2 w_2) V, D w_2 W, (2^89 w_1 - 2^62 w_2) b.
    function _tails(uint256 wide, uint256 g, uint256 index, uint256 scale, uint256 w) private view {
        unchecked {
            uint256 within = _weight(index - 2);
            uint256 covered = _weight(index - 1);
            w = addmod(w, R - mulmod(2, addmod(within, covered, R), R), R);
            _addCharge(wide, g, mulmod(w, scale, R));
            _addCharge(wide, g - 1, mulmod(covered, scale, R));
            w = addmod(mulmod(1 << 89, within, R), R - mulmod(1 << 62, covered, R), R);
            _addFloor(wide, mulmod(w, _load(wide + X_FLOORS + 32 * g), R));
        }
    }

    function _addFloor(uint256 wide, uint256 t) private pure {
        unchecked {
            t = mulmod(t, mulmod(_load(M_VANISHING), N_INV, R), R);
            _store(wide + X_FIRST, addmod(_load(wide + X_FIRST), t, R));
        }
    }

    /// @dev w times the rates of one charge by size, to what long and short positions have.
    function _sized(uint256 wide, uint256 w, uint256 side) private pure returns (uint256) {
        unchecked {
            _store(wide + X_LONG, addmod(_load(wide + X_LONG), mulmod(w, _load(side), R), R));
            _store(wide + X_SHORT, addmod(_load(wide + X_SHORT), mulmod(w, _load(side + 32), R), R));
            return side + 64;
        }
    }

    /// @dev w W_g, to the packed column where W_g stands.
    function _addCharge(uint256 wide, uint256 g, uint256 w) private view {
        unchecked {
            uint256 to = wide + X_FIRST;
            uint256 W = _load(V_CHARGES);
            if (_shared()) {
                to = wide + X_SECOND;
                W = mulmod(_load(wide + X_CHARGES + 32 * g), mulmod(_load(M_VANISHING), N_INV, R), R);
            } else if (g != 0) {
                to = wide + X_SECOND;
            }
            _store(to, addmod(_load(to), mulmod(w, W, R), R));
        }
    }

    /// @dev The weights of all indices of a group's blocks: sum_k x_k (1 + P) (1 + P^2).
    function _all(uint256 slot) private pure returns (uint256 w) {
        unchecked {
            uint256 x = _over(_load(slot + 0x20));
            for (uint256 end = x + 32 * _load(slot + 0x40); x < end; x += 32) w = addmod(w, _load(x), R);
            uint256 P = _load(M_P);
            w = mulmod(w, mulmod(addmod(1, R - P, R), addmod(1, P, R), R), R);
            w = mulmod(w, addmod(1, mulmod(P, P, R), R), R);
        }
    }

    /// @dev The scalars of the scenario rows' points: w rho^(64 c) / (kappa_k - rho), by the places of the groups.
    function _fold(uint256 w) private pure returns (uint256 entry) {
        unchecked {
            entry = MSM;
            for (uint256 slot = _wideAt() + X_GROUPS; _load(slot) != 0; slot += 0x60) {
                uint256 x = _over(_load(slot + 0x20));
                for (uint256 end = x + 32 * ((_load(slot) + 3) >> 2); x < end; x += 32) {
                    _accumulate(entry, mulmod(w, _load(x), R));
                    entry += 160;
                }
            }
        }
    }

    /// @dev The same for groups with a column each and no charge by size.
    function _foldColumns(uint256 w) private pure returns (uint256 entry) {
        unchecked {
            entry = MSM;
            uint256 inverses = _load(M_INVERSES);
            for (uint256 end = inverses + 32 * _load(M_FIRST); inverses < end; inverses += 32) {
                _accumulate(entry, mulmod(w, _load(inverses), R));
                entry += 160;
            }
            w = mulmod(w, _load(M_RHO_64), R);
            inverses = _load(M_INVERSES);
            for (uint256 end = inverses + 32 * (_load(M_ROWS) - _load(M_FIRST)); inverses < end; inverses += 32) {
                _accumulate(entry, mulmod(w, _load(inverses), R));
                entry += 160;
            }
        }
    }

    // --- openings ----------------------------------------------------------------------------------------------------

    /// @dev Where 1/(x - zeta), 1/((x - zeta)(x - omega zeta)), 1/(x^3 - zeta), 1/(x^4 - zeta), 1/zeta stand.
    function _quotients() internal pure returns (uint256) {
        unchecked {
            return _load(M_YS) + 0x100;
        }
    }

    /// @dev phi's line through zeta and omega zeta, at x.
    function _phiLine(uint256 overZeta) internal pure returns (uint256) {
        unchecked {
            uint256 phi = _load(V_PHI);
            uint256 slope =
                mulmod(addmod(_load(V_SHIFTED), R - phi, R), mulmod(overZeta, OMEGA_1_INV, R), R);
            return addmod(phi, mulmod(slope, addmod(_load(M_X), R - _load(M_ZETA), R), R), R);
        }
    }

    /// @dev Adds the scalars of the fold of the rows, the pinned and the price point and those of side rows, and of the
    /// generator, which takes -(`c` and what these add to it).
    /// @param s gamma^i / (x^4 - zeta) of the fold, times the proof's weight
    function _openTable(uint256 s, uint256 c) internal view {
        uint256 gamma = _load(M_GAMMA);
        uint256 x = _load(M_X);
        unchecked {
            c = addmod(c, mulmod(s, _four(x, _load(V_ROWS), _load(V_ROWS + 0x20), _load(V_ROWS + 0x40), _load(V_ROWS + 0x60)), R), R);
            uint256 w = mulmod(s, addmod(1, R - _load(M_P), R), R);
            uint256 entry = _takesWide() ? _fold(w) : _foldColumns(w);
            s = mulmod(s, gamma, R);
            _accumulate(entry, s);
            c = addmod(c, mulmod(s, _four(x, _load(V_T), _load(V_SELECTOR), _load(V_CHARGES), _load(V_CLAIM)), R), R);
            s = mulmod(s, gamma, R);
            _accumulate(entry + 160, s);
            c = addmod(c, mulmod(s, _four(x, _load(V_MARKS), _load(V_MINIMUM_0), _load(V_MINIMUM_1), 1), R), R);
            entry += 320;
            if (_takesWide()) {
                uint256 wide = _wideAt();
                for (uint256 end = wide + 32 * _sideRows(); wide < end; wide += 128) {
                    s = mulmod(s, gamma, R);
                    _accumulate(entry, s);
                    c = addmod(c, mulmod(s, _four(x, _load(wide), _load(wide + 0x20), _load(wide + 0x40), _load(wide + 0x60)), R), R);
                    entry += 160;
                }
            }
            _accumulate(entry, R - c);
        }
    }

    // --- the check ---------------------------------------------------------------------------------------------------

    /// @dev One MSM, one pairing check: e(sum, [1]_2) = e(W', [tau]_2). The W' of a single proof is its last entry;
    /// those of a batch, by their weights, are `last` entries after the others.
    function _check(uint256 last) internal view {
        uint256 b = BUFFER;
        _msm(MSM, _load(M_LAST), b);
        unchecked {
            if (last == 0) {
                assembly {
                    mcopy(add(b, 0x180), sub(mload(M_LAST), 160), 0x80)
                }
            } else {
                _msm(_load(M_LAST), _load(M_LAST) + 160 * last, b + 0x180);
            }
        }
        bool ok;
        bool whole;
        assembly {
            // [1]_2
            mstore(add(b, 0x80), 0x00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051)
            mstore(add(b, 0xa0), 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8)
            mstore(add(b, 0xc0), 0x0000000000000000000000000000000013e02b6052719f607dacd3a088274f65)
            mstore(add(b, 0xe0), 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e)
            mstore(add(b, 0x100), 0x000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a)
            mstore(add(b, 0x120), 0xadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801)
            mstore(add(b, 0x140), 0x000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99)
            mstore(add(b, 0x160), 0xcb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be)
            // -[tau]_2
            mstore(add(b, 0x200), 0x00000000000000000000000000000000185cbfee53492714734429b7b38608e2)
            mstore(add(b, 0x220), 0x3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2)
            mstore(add(b, 0x240), 0x0000000000000000000000000000000015bfd7dd8cdeb128843bc287230af389)
            mstore(add(b, 0x260), 0x26187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72)
            mstore(add(b, 0x280), 0x0000000000000000000000000000000018bdbe2c8014842c7345b930a979b035)
            mstore(add(b, 0x2a0), 0x5161e23be55c34a67f0c80fc60072caad1c992ee58120c7bcb966404447c8012)
            mstore(add(b, 0x2c0), 0x00000000000000000000000000000000039a4c9f2f4d940547d877eb6333918b)
            mstore(add(b, 0x2e0), 0x74fd6d7af721ab9f8cd200e65ab6ee9a8a16cb8f73d9363296fa710cf2f5955c)
            ok := staticcall(105000, 0x0f, b, 0x300, 0x00, 0x20)
            whole := eq(returndatasize(), 0x20)
        }
        if (!ok) _fail(InvalidPoint.selector);
        if (!whole) _fail(NoPrecompile.selector);
        if (_load(0x00) != 1) _fail(ProofRejected.selector);
    }
}

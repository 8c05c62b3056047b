// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarginVerifier} from "./IMarginVerifier.sol";

/// @title Verifier of zkmargin's margin proofs, protocol chain/v1. Unaudited.
/// @notice Accepts a proof exactly when the Python verifier does, whatever account sends it. It holds no state, has no
/// owner and cannot be upgraded: what it pins is set once, when it is deployed, and anybody can recompute it.
/// @dev Letters and equations are those of docs/protocol-chain.md. All of the work is one block of assembly on memory of
/// its own, which ends the call; `M_..` are addresses there. R is the order of the scalar field of BLS12-381.
///
/// What a caller sends for each proof, `ITEM` bytes:
///   num (32)  den (32)  positions (96)  collateral (96)
///   F1 F2 F3 H phi T W W' (96 each, x || y)
///   f0 .. f6  mu  h0 h1 h2  phi(zeta) phi(omega zeta)  r0 .. r3  t sel_p W claim  marks som_0  [som_1 f7]   (32 each)
///   the inverse of the product of all denominators (32): a help, no part of what is proved
/// som_1 and f7 exist with two risk groups only.
contract MarginVerifier is IMarginVerifier {
    /// @dev N, listed rows of the positions.
    uint256 public immutable INSTRUMENTS;
    /// @dev G, one or two risk groups.
    uint256 public immutable GROUPS;
    /// @dev S_0 and S_1, scenarios of each group; S_1 = 0 with one group.
    uint256 public immutable SCENARIOS_0;
    uint256 public immutable SCENARIOS_1;
    /// @dev Bit j: asset j may be owed.
    uint256 public immutable DEBTS;
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
    bytes32 private constant PROTOCOL = "zkmargin/chain/v1";

    uint256 private constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    uint256 private constant R_1 = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000; // R - 1
    uint256 private constant TWO_256 = 0x1824b159acc5056f998c4fefecbc4ff55884b7fa0003480200000001fffffffe; // 2^256 mod R
    uint256 private constant OMEGA = 0x325db5c3debf77a18f4de02c0f776af3ea437f9626fc085e3c28d666a5c2d854; // order 1024
    uint256 private constant OMEGA_INV = 0x5164ca4cf7456c9b942c20e45c3ad14d9ce862487904d0ab1b561347c6a47727;
    uint256 private constant OMEGA_INV_4 = 0x18ba7658084c71a467e701a945e9b713df7b4ee66e4caccb7d01866add958780;
    uint256 private constant OMEGA_INV_16 = 0x640d097461a2eeaf4e84b3cd7dc75b61db872ef3dce28e788d28c143168bba2c;
    uint256 private constant OMEGA_INV_144 = 0x68f0ba2461933c32412d801131c542d24eb73f5d9958580573ea3fa3e6fe310f;
    uint256 private constant OMEGA_64 = 0x20b1ce9140267af9dd1c0af834cec32c17beb312f20b6f7653ea61d87742bcce;
    uint256 private constant OMEGA_256 = 0x00000000000000008d51ccce760304d0ec030002760300000001000000000000;
    uint256 private constant OMEGA_INV_256 = 0x73eda753299d7d47a5e80b39939ed33467baa40089fb5bfefffeffff00000001;
    uint256 private constant N_INV = 0x73d0abe954d315e8e12d0992079f6f8f5268b499ff3e5c68003fffff00400001; // 1/1024
    uint256 private constant OMEGA_1_INV = 0x2de3d72d1b3e85eac2da366e5e1caff2be07683fc3a780750ad7178ed97e5788; // 1/(omega - 1)

    /// @dev Where the first argument of variable length begins: after the selector, six words and its length.
    uint256 private constant FIRST = 0xe4;

    // Arguments, 0x80 on.
    uint256 private constant A_TABLE = 0x80;
    uint256 private constant A_TABLE_LENGTH = 0xa0;
    uint256 private constant A_STORE = 0xc0;
    uint256 private constant A_NONCES = 0xe0;
    uint256 private constant A_COUNT = 0x100;
    uint256 private constant A_PROOFS = 0x120;
    uint256 private constant A_PROOFS_LENGTH = 0x140;
    uint256 private constant A_SCENARIOS_0 = 0x160;
    uint256 private constant A_SCENARIOS_1 = 0x180;
    uint256 private constant A_DEBTS = 0x1a0;
    uint256 private constant A_BATCH = 0x1c0;
    // What all proofs share.
    uint256 private constant M_TABLE_HASH = 0x1e0;
    uint256 private constant M_FACTOR = 0x200;
    uint256 private constant M_ASSETS = 0x220;
    uint256 private constant M_LONG = 0x240;
    uint256 private constant M_SHORT = 0x260;
    uint256 private constant M_ROWS = 0x280; // table points of scenario rows
    uint256 private constant M_FIRST = 0x2a0; // those of group 0
    uint256 private constant M_POINTS = 0x2c0; // first entry of the proofs
    uint256 private constant M_LAST = 0x2e0; // entries of W' in a batch
    uint256 private constant M_CHALLENGES = 0x300;
    uint256 private constant M_ITEM = 0x320;
    uint256 private constant M_ROOTS = 0x340; // x_k that are needed
    // One proof's challenges (six words in a row) and what follows from them.
    uint256 private constant M_BETA = 0x360;
    uint256 private constant M_RHO = 0x380;
    uint256 private constant M_CHI = 0x3a0;
    uint256 private constant M_ZETA = 0x3c0;
    uint256 private constant M_GAMMA = 0x3e0;
    uint256 private constant M_X = 0x400;
    uint256 private constant M_ALPHA = 0x420; // weight in the batch
    uint256 private constant M_P = 0x440; // rho^16
    uint256 private constant M_RHO_15 = 0x460;
    uint256 private constant M_RHO_64 = 0x480;
    uint256 private constant M_VANISHING = 0x4a0; // zeta^1024 - 1
    uint256 private constant M_SLACKS = 0x4c0;
    uint256 private constant M_HELD = 0x4e0;
    uint256 private constant M_OWED = 0x500; // four words
    uint256 private constant M_INVERSES = 0x580; // of x_k, then M_YS
    uint256 private constant M_YS = 0x5a0;
    uint256 private constant M_RHO_4 = 0x5c0;
    // Values at zeta, in the order of the bytes.
    uint256 private constant V = 0x5e0;
    // Hash buffer; later denominators, their running products, numerators.
    uint256 private constant BUFFER = 0x900;
    uint256 private constant DEN = 0x900;
    uint256 private constant PRE = 0x1140;
    uint256 private constant NUM = 0x1980;
    uint256 private constant MSM = 0x1ba0;

    /// @param instruments N, 1 to 1023.
    /// @param scenarios0 S_0, 1 to 64.
    /// @param scenarios1 S_1, or 0 with one group.
    /// @param debts bit j set where asset j may be owed, below 16.
    /// @param pinned the 96 bytes of the point that N decides (`zkmargin snapshot table` prints it). A wrong one accepts
    /// nothing honest and may accept what is false: check it before you trust a deployment (`zkmargin chain status`).
    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 debts, bytes memory pinned) {
        if (
            instruments == 0 || instruments > 1023 || scenarios0 == 0 || scenarios0 > 64 || scenarios1 > 64
                || debts > 15 || pinned.length != 96
        ) revert BadLayout();
        uint256 groups = scenarios1 == 0 ? 1 : 2;
        (bytes32 a, bytes32 b, bytes32 c) = abi.decode(pinned, (bytes32, bytes32, bytes32));
        if (a | b | c == 0) revert BadLayout();
        (INSTRUMENTS, GROUPS, SCENARIOS_0, SCENARIOS_1, DEBTS) = (instruments, groups, scenarios0, scenarios1, debts);
        (PINNED_0, PINNED_1, PINNED_2) = (a, b, c);
        LAYOUT_DIGEST = keccak256(
            abi.encodePacked(
                bytes1(0x03), LAYOUT_LABEL, SRS_DIGEST, instruments, groups, scenarios0, scenarios1, debts, pinned
            )
        );
    }

    /// @inheritdoc IMarginVerifier
    function pins() external view returns (bytes32 digest, bytes memory pinned) {
        return (LAYOUT_DIGEST, abi.encodePacked(PINNED_0, PINNED_1, PINNED_2));
    }

    /// @inheritdoc IMarginVerifier
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
        _run(tableAt, table.length, address(0), 0x84, 1, proofAt, proof.length, false);
    }

    /// @inheritdoc IMarginVerifier
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
        _run(0, 0, store, 0x84, 1, proofAt, proof.length, false);
    }

    /// @inheritdoc IMarginVerifier
    function verifyBatch(TableId calldata, bytes calldata table, bytes32[] calldata nonces, bytes calldata proofs)
        external
        view
        returns (bytes32, bytes32[] memory)
    {
        uint256 tableAt;
        uint256 noncesAt;
        uint256 proofsAt;
        assembly {
            tableAt := table.offset
            noncesAt := nonces.offset
            proofsAt := proofs.offset
        }
        if (noncesAt != tableAt + table.length + 32) revert BadCalldata();
        _shape(tableAt, noncesAt + 32 * nonces.length + 32, proofsAt, proofs.length);
        _run(tableAt, table.length, address(0), noncesAt, nonces.length, proofsAt, proofs.length, true);
    }

    /// @dev One encoding of one call: arguments stand where the ABI's own encoder puts them, and nothing follows.
    function _shape(uint256 first, uint256 expected, uint256 proofsAt, uint256 proofsLength) private pure {
        if (first != FIRST || proofsAt != expected || msg.data.length != proofsAt + proofsLength) revert BadCalldata();
    }

    /// @dev The table's id and the nonce of a single proof are read where they stand in the call's data, at 4 and 0x84.
    /// Checks everything and ends the call: it returns (table hash, statement digest or digests), or reverts.
    function _run(
        uint256 tableAt,
        uint256 tableLength,
        address store,
        uint256 noncesAt,
        uint256 count,
        uint256 proofsAt,
        uint256 proofsLength,
        bool batch
    ) private view {
        assembly {
            mstore(A_TABLE, tableAt)
            mstore(A_TABLE_LENGTH, tableLength)
            mstore(A_STORE, store)
            mstore(A_NONCES, noncesAt)
            mstore(A_COUNT, count)
            mstore(A_PROOFS, proofsAt)
            mstore(A_PROOFS_LENGTH, proofsLength)
            mstore(A_BATCH, batch)
        }
        _pins();
        assembly {
            function fail(selector) {
                mstore(0x00, selector)
                revert(0x1c, 0x04)
            }
            function failAt(selector, place) {
                mstore(0x00, selector)
                mstore(0x20, place)
                revert(0x1c, 0x24)
            }
            // -x for x < R
            function neg(x) -> y {
                y := sub(R, x)
            }
            function fourth(x) -> y {
                y := mulmod(x, x, R)
                y := mulmod(y, y, R)
            }
            // x^(2^k)
            function squared(x, k) -> y {
                y := x
                for {} k { k := sub(k, 1) } { y := mulmod(y, y, R) }
            }
            // state <- H(0x01 || state || data)
            function absorb(state, offset, length) -> next {
                mstore(BUFFER, 1)
                mstore(add(BUFFER, 0x20), state)
                calldatacopy(add(BUFFER, 0x40), offset, length)
                next := keccak256(add(BUFFER, 0x1f), add(length, 0x21))
            }
            // int(H(0x02 || state || 2 i) || H(0x02 || state || 2 i + 1)) mod R
            function challenge(state, i) -> x {
                mstore(0x00, 2)
                mstore(0x20, state)
                mstore8(0x40, shl(1, i))
                x := mulmod(keccak256(0x1f, 0x22), TWO_256, R)
                mstore8(0x40, add(shl(1, i), 1))
                x := addmod(x, keccak256(0x1f, 0x22), R)
                if iszero(x) { fail(0x3ef72bae) } // ZeroChallenge()
            }
            // A point of the call's data as an entry of an MSM. `place` names it in the error.
            function point(entry, offset, place) {
                if iszero(or(or(calldataload(offset), calldataload(add(offset, 0x20))), calldataload(add(offset, 0x40))))
                {
                    failAt(0x824fa20c, place) // PointAtInfinity(uint256)
                }
                calldatacopy(add(entry, 0x10), offset, 0x30)
                calldatacopy(add(entry, 0x50), add(offset, 0x30), 0x30)
            }
            function put(entry, offset, place, scalar) {
                point(entry, offset, place)
                mstore(add(entry, 0x80), scalar)
            }
            // the same from memory
            function pointOf(entry, at, place) {
                if iszero(or(or(mload(at), mload(add(at, 0x20))), mload(add(at, 0x40)))) { failAt(0x824fa20c, place) }
                mcopy(add(entry, 0x10), at, 0x30)
                mcopy(add(entry, 0x50), add(at, 0x30), 0x30)
            }
            function accumulate(entry, scalar) {
                let at := add(entry, 0x80)
                mstore(at, addmod(mload(at), scalar, R))
            }
            // The price of a G1MSM of k points (EIP-2537), from above, at most 5 % more.
            function price(k) -> g {
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
            function msm(from, to, result) {
                let ok := staticcall(price(div(sub(to, from), 160)), 0x0c, from, sub(to, from), result, 0x80)
                if iszero(ok) { fail(0xb8fedf87) } // InvalidPoint()
                if iszero(eq(returndatasize(), 0x80)) { fail(0xf2f78149) } // NoPrecompile()
            }
            function denominator(o, running, x) -> product {
                mstore(add(DEN, o), x)
                mstore(add(PRE, o), running)
                product := mulmod(running, x, R)
            }

            // --- the table -----------------------------------------------------------------------------------------
            {
                // content: factor and M, long values, short values, price point, points of the rows
                let first := shr(2, add(mload(A_SCENARIOS_0), 3))
                let rows := add(first, shr(2, add(mload(A_SCENARIOS_1), 3)))
                let length := add(192, mul(96, rows))
                let content := add(BUFFER, 0x100)
                switch mload(A_STORE)
                case 0 {
                    if iszero(eq(mload(A_TABLE_LENGTH), length)) { fail(0x09919cca) } // WrongTableLength()
                    calldatacopy(content, mload(A_TABLE), length)
                }
                default {
                    let store_ := mload(A_STORE)
                    // what is not there reads as zeros, and hashes to another table
                    extcodecopy(store_, content, 1, length)
                }
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
                mstore(M_ROWS, rows)
                mstore(M_FIRST, first)
                let entry := MSM
                let from := add(content, 192)
                for { let end := add(MSM, mul(160, rows)) } lt(entry, end) {} {
                    pointOf(entry, from, 16)
                    entry := add(entry, 160)
                    from := add(from, 96)
                }
                pointOf(entry, M_BETA, 16) // the pinned point waits where challenges will be
                entry := add(entry, 160)
                pointOf(entry, add(content, 96), 16)
                entry := add(entry, 160)
                mstore(entry, 0x0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f)
                mstore(add(entry, 0x20), 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb)
                mstore(add(entry, 0x40), 0x0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4)
                mstore(add(entry, 0x60), 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1)
                entry := add(entry, 160)
                mstore(M_POINTS, entry)
                let m := mload(A_COUNT)
                entry := add(entry, mul(1600, m))
                mstore(M_LAST, entry)
                mstore(M_CHALLENGES, add(entry, mul(160, m)))
                let item := 1824
                if iszero(mload(A_SCENARIOS_1)) { item := 1760 }
                mstore(M_ITEM, item)
                if or(iszero(m), iszero(eq(mload(A_PROOFS_LENGTH), mul(add(item, 32), m)))) { fail(0x6e80130b) } // WrongProofLength()
                // x_k: as many as table points or the index of a short option minimum ask for
                let k := first
                let s := shr(2, mload(A_SCENARIOS_0))
                if lt(s, 16) { if lt(k, add(s, 1)) { k := add(s, 1) } }
                if lt(k, sub(rows, first)) { k := sub(rows, first) }
                s := shr(2, mload(A_SCENARIOS_1))
                if lt(s, 16) { if lt(k, add(s, 1)) { k := add(s, 1) } }
                mstore(M_ROOTS, shl(5, k))
            }

            // --- transcripts ---------------------------------------------------------------------------------------
            function transcript(p, nonce_, c) -> state {
                // the context: H(chain id || this contract || its caller || nonce)
                mstore(BUFFER, chainid())
                mstore(add(BUFFER, 0x20), address())
                mstore(add(BUFFER, 0x40), caller())
                mstore(add(BUFFER, 0x60), nonce_)
                let context := keccak256(BUFFER, 0x80)
                mstore(BUFFER, 0)
                mstore(add(BUFFER, 0x20), PROTOCOL)
                mstore(add(BUFFER, 0x40), mload(M_TABLE_HASH))
                mstore(add(BUFFER, 0x60), context)
                calldatacopy(add(BUFFER, 0x80), p, 256)
                // 1 <= num, den < 2^16
                if or(
                    gt(sub(calldataload(p), 1), 0xfffe), gt(sub(calldataload(add(p, 32)), 1), 0xfffe)
                ) { fail(0xf3d9185d) } // ClaimOutOfRange()
                state := keccak256(add(BUFFER, 0x1f), 0x161)
                mstore(add(c, 192), state)
                state := absorb(state, add(p, 256), 288)
                mstore(c, challenge(state, 0))
                mstore(add(c, 32), challenge(state, 1))
                state := absorb(state, add(p, 544), 192)
                mstore(add(c, 64), challenge(state, 0))
                state := absorb(state, add(p, 736), 96)
                mstore(add(c, 96), challenge(state, 0))
                state := absorb(state, add(p, 1024), sub(mload(M_ITEM), 1024))
                mstore(add(c, 128), challenge(state, 0))
                state := absorb(state, add(p, 832), 96)
                mstore(add(c, 160), challenge(state, 0))
                state := absorb(state, add(p, 928), 96)
            }

            // --- one proof -----------------------------------------------------------------------------------------
            // Every denominator of the closed forms, inverted together. Leaves P, rho^15, the sums of slack, held and
            // owed cells (without the factor Z/n), and 1/.. of the x_k at M_INVERSES.
            function denominators(p) {
                let zeta := mload(M_ZETA)
                let rho := mload(M_RHO)
                let minus := neg(rho)
                let rho4 := fourth(rho)
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
                    let e := squared(zeta, 4)
                    let nP := neg(P)
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
                    let e := mulmod(fourth(zeta), OMEGA_INV_144, R)
                    let n4 := neg(rho4)
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
                    let off := addmod(x, neg(zeta), R)
                    let x2 := mulmod(x, x, R)
                    a := denominator(o, a, off)
                    a := denominator(
                        add(o, 32), a, mulmod(off, addmod(x, neg(mulmod(zeta, OMEGA, R)), R), R)
                    )
                    a := denominator(add(o, 64), a, addmod(mulmod(x2, x, R), neg(zeta), R))
                    a := denominator(add(o, 96), a, addmod(mulmod(x2, x2, R), neg(zeta), R))
                    a := denominator(add(o, 128), a, zeta)
                    o := add(o, 160)
                }
                // 1/a is sent: one product checks it, where MODEXP costs 4,064 gas. 0 has no inverse: a pole is a rejection.
                let v := calldataload(add(p, mload(M_ITEM)))
                if iszero(and(lt(v, R), eq(mulmod(a, v, R), 1))) { fail(0x8ba09fd9) } // BadInverse()
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
            // h b0 b1 b2 - b0 b1 - b0 b2 - b1 b2, b = beta + f
            function helper(h, f) -> g {
                let beta := mload(M_BETA)
                let x := addmod(mload(f), beta, R)
                let y := addmod(mload(add(f, 0x20)), beta, R)
                let z := addmod(mload(add(f, 0x40)), beta, R)
                let xy := mulmod(x, y, R)
                g := addmod(mulmod(h, mulmod(xy, z, R), R), neg(addmod(xy, mulmod(addmod(x, y, R), z, R), R)), R)
            }
            // f + 1024 f' + 1024^2 f''
            function digits(f) -> x {
                x := addmod(
                    mload(f),
                    addmod(mulmod(mload(add(f, 0x20)), 1024, R), mulmod(mload(add(f, 0x40)), 1048576, R), R),
                    R
                )
            }
            // rho^(64 g) x_k P^a of the short option minimum: index s = S_g = 4 k + a; none at 64
            function minimumWeight(s) -> w {
                if lt(s, 64) {
                    let P := mload(M_P)
                    w := mulmod(addmod(1, neg(P), R), mload(add(mload(M_INVERSES), shl(5, shr(2, s)))), R)
                    for { let a := and(s, 3) } a { a := sub(a, 1) } { w := mulmod(w, P, R) }
                }
            }
            // f6 U_0 + f7 U_1 of the packed columns
            function packed(num, den) -> total {
                let w64 := mload(M_RHO_64)
                let w128 := mulmod(w64, w64, R)
                let zn := mulmod(mload(M_VANISHING), N_INV, R)
                let charges := mload(add(V, 0x260))
                // A = 16 rho^15 (1 + P) (1 + P^2) W - (16/n) Z slacks
                let A
                {
                    let P := mload(M_P)
                    A := mulmod(mulmod(16, mload(M_RHO_15), R), mulmod(addmod(1, P, R), addmod(1, mulmod(P, P, R), R), R), R)
                    A := addmod(mulmod(A, charges, R), neg(mulmod(mulmod(16, zn, R), mload(M_SLACKS), R)), R)
                }
                // B = rho^128 num factor W
                let B := neg(mulmod(mulmod(w128, mul(num, mload(M_FACTOR)), R), charges, R))
                let U := addmod(A, B, R)
                // - rho^128 claim
                U := addmod(U, neg(mulmod(w128, mload(add(V, 0x280)), R)), R)
                {
                    // - rho^129 (4/n) Z held + sum_j (rho^129 y_j - rho^128 den (short_j - long_j)) (Z/n) owed_j
                    let w129 := mulmod(w128, mload(M_RHO), R)
                    let t := neg(mulmod(mulmod(4, w129, R), mload(M_HELD), R))
                    let u := mulmod(w129, addmod(1, neg(mload(M_RHO_4)), R), R)
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
                            if shr(64, spread) { fail(0xfa1854af) } // BadHaircut()
                            let w := addmod(mulmod(u, mload(ys), R), neg(mulmod(w128, mul(den, spread), R)), R)
                            t := addmod(t, mulmod(w, mload(owed), R), R)
                        }
                        bits := add(bits, 64)
                        ys := add(ys, 0x20)
                        owed := add(owed, 0x20)
                    }
                    U := addmod(U, mulmod(zn, t, R), R)
                }
                total := mulmod(mload(add(V, 0xc0)), U, R)
                if mload(A_SCENARIOS_1) {
                    total := addmod(total, mulmod(mload(add(V, 0x300)), addmod(mulmod(w64, A, R), B, R), R), R)
                }
            }
            // Z T + c_pos positions + c_col collateral = d at zeta
            function identity(p) -> d, cpos, ccol {
                let num := calldataload(p)
                let den := calldataload(add(p, 32))
                let chi := mload(M_CHI)
                let chi4 := fourth(chi)
                let w64 := mload(M_RHO_64)
                let w128 := mulmod(w64, w64, R)
                {
                    // c_pos = r_0 + P r_1 + P^2 r_2 + P^3 r_3 + rho^128 den 10^4 marks - chi^4 - chi^5 sel_p
                    let P := mload(M_P)
                    let u := addmod(mload(add(V, 0x1e0)), mulmod(P, mload(add(V, 0x200)), R), R)
                    u := addmod(mload(add(V, 0x1c0)), mulmod(P, u, R), R)
                    u := addmod(mload(add(V, 0x1a0)), mulmod(P, u, R), R)
                    u := addmod(u, mulmod(mulmod(w128, mul(den, 10000), R), mload(add(V, 0x2a0)), R), R)
                    let chi5 := mulmod(chi4, chi, R)
                    cpos := addmod(u, neg(addmod(chi4, mulmod(chi5, mload(add(V, 0x240)), R), R)), R)
                    // c_col = sum_j L_j (rho^129 y_j + rho^128 den long_j) - chi^6 (1 - sum_{j < M} L_j)
                    let zn := mulmod(mload(M_VANISHING), N_INV, R)
                    let scale := mulmod(mulmod(w128, mload(M_RHO), R), addmod(1, neg(mload(M_RHO_4)), R), R)
                    let at := mload(M_YS)
                    let selector := 1
                    let long := mload(M_LONG)
                    for { let j := 0 } lt(j, 4) { j := add(j, 1) } {
                        let l := mulmod(zn, mload(add(at, 0x80)), R)
                        let w := addmod(
                            mulmod(scale, mload(at), R),
                            mulmod(w128, mul(den, and(long, 0xffffffffffffffff)), R),
                            R
                        )
                        ccol := addmod(ccol, mulmod(l, w, R), R)
                        if lt(j, mload(M_ASSETS)) { selector := addmod(selector, neg(l), R) }
                        long := shr(64, long)
                        at := add(at, 0x20)
                    }
                    ccol := addmod(ccol, neg(mulmod(mulmod(chi5, chi, R), selector, R)), R)
                }
                // d = phi(omega zeta) - phi(zeta) + short (w_0 som_0 + w_1 som_1) - packed - rho^133 sum h + ..
                let long := digits(V)
                let short := digits(add(V, 0x60))
                d := addmod(mload(add(V, 0x180)), neg(mload(add(V, 0x160))), R)
                {
                    let w := mulmod(minimumWeight(mload(A_SCENARIOS_0)), mload(add(V, 0x2c0)), R)
                    if mload(A_SCENARIOS_1) {
                        w := addmod(
                            w,
                            mulmod(mulmod(w64, minimumWeight(mload(A_SCENARIOS_1)), R), mload(add(V, 0x2e0)), R),
                            R
                        )
                    }
                    d := addmod(d, mulmod(w, short, R), R)
                }
                d := addmod(d, neg(packed(num, den)), R)
                {
                    let rho := mload(M_RHO)
                    let w133 := mulmod(w128, mulmod(mload(M_RHO_4), rho, R), R)
                    let h := addmod(mload(add(V, 0x100)), addmod(mload(add(V, 0x120)), mload(add(V, 0x140)), R), R)
                    d := addmod(d, neg(mulmod(w133, h, R)), R)
                }
                {
                    // chi (helper_0 + chi (helper_1 + chi (h2 b6 b7 bt - (b6 + b7) bt + mu b6 b7)))
                    let beta := mload(M_BETA)
                    let b6 := addmod(mload(add(V, 0xc0)), beta, R)
                    let b7 := addmod(mload(add(V, 0x300)), beta, R)
                    let bt := addmod(mload(add(V, 0x220)), beta, R)
                    let b67 := mulmod(b6, b7, R)
                    let g := addmod(mulmod(mload(add(V, 0xe0)), b67, R), neg(mulmod(addmod(b6, b7, R), bt, R)), R)
                    g := addmod(g, mulmod(mload(add(V, 0x140)), mulmod(b67, bt, R), R), R)
                    g := addmod(helper(mload(add(V, 0x120)), add(V, 0x60)), mulmod(chi, g, R), R)
                    g := addmod(helper(mload(add(V, 0x100)), V), mulmod(chi, g, R), R)
                    d := addmod(d, mulmod(chi, g, R), R)
                }
                // - chi^4 (long - short)
                d := addmod(d, mulmod(chi4, addmod(short, neg(long), R), R), R)
            }
            // Every value at zeta is below R (with one group the last two are 0).
            function canonical(v) {
                let good := 1
                for { let end := add(v, 0x320) } lt(v, end) { v := add(v, 0xa0) } {
                    good := and(
                        good,
                        and(
                            and(lt(mload(v), R), lt(mload(add(v, 0x20)), R)),
                            and(
                                and(lt(mload(add(v, 0x40)), R), lt(mload(add(v, 0x60)), R)),
                                lt(mload(add(v, 0x80)), R)
                            )
                        )
                    )
                }
                if iszero(good) {
                    v := V
                    for {} lt(mload(v), R) {} { v := add(v, 0x20) }
                    failAt(0x1e686dee, shr(5, sub(v, V))) // ScalarOutOfRange(uint256)
                }
            }
            // v + x v' + x^2 v''
            function three(x, v, v1, v2) -> y {
                y := addmod(v, mulmod(x, addmod(v1, mulmod(x, v2, R), R), R), R)
            }
            function four(x, v, v1, v2, v3) -> y {
                y := addmod(v, mulmod(x, three(x, v1, v2, v3), R), R)
            }
            // Scalars of sum_i gamma^i / Z_i(x) (C_i - [r_i(x)]) - W + x W', times alpha.
            function openings(p, e, d, cpos, ccol) {
                let gamma := mload(M_GAMMA)
                let x := mload(M_X)
                let alpha := mload(M_ALPHA)
                let at := add(mload(M_YS), 0x100) // 1/(x - zeta), 1/((x - zeta)(x - omega zeta)), 1/(x^3 - zeta), 1/(x^4 - zeta), 1/zeta
                let s := mulmod(alpha, mload(at), R)
                let c := mulmod(s, d, R)
                put(e, add(p, 736), 5, mulmod(s, mload(M_VANISHING), R))
                put(add(e, 160), add(p, 64), 8, mulmod(s, cpos, R))
                put(add(e, 320), add(p, 160), 9, mulmod(s, ccol, R))
                // F1, F2, F3, H: [f0 f1 f2] [f3 f4 f5] [f6 f7 mu] [h0 h1 h2]
                s := mulmod(mulmod(alpha, gamma, R), mload(add(at, 0x40)), R)
                put(add(e, 480), add(p, 256), 0, s)
                c := addmod(c, mulmod(s, three(x, mload(V), mload(add(V, 0x20)), mload(add(V, 0x40))), R), R)
                s := mulmod(s, gamma, R)
                put(add(e, 640), add(p, 352), 1, s)
                c := addmod(c, mulmod(s, three(x, mload(add(V, 0x60)), mload(add(V, 0x80)), mload(add(V, 0xa0))), R), R)
                s := mulmod(s, gamma, R)
                put(add(e, 800), add(p, 448), 2, s)
                c := addmod(c, mulmod(s, three(x, mload(add(V, 0xc0)), mload(add(V, 0x300)), mload(add(V, 0xe0))), R), R)
                s := mulmod(s, gamma, R)
                put(add(e, 960), add(p, 544), 3, s)
                c := addmod(c, mulmod(s, three(x, mload(add(V, 0x100)), mload(add(V, 0x120)), mload(add(V, 0x140))), R), R)
                // phi: its line through zeta and omega zeta
                let g5 := mulmod(mulmod(fourth(gamma), gamma, R), alpha, R)
                {
                    s := mulmod(g5, mload(add(at, 0x20)), R)
                    put(add(e, 1120), add(p, 640), 4, s)
                    let slope := mulmod(
                        addmod(mload(add(V, 0x180)), neg(mload(add(V, 0x160))), R),
                        mulmod(mload(add(at, 0x80)), OMEGA_1_INV, R),
                        R
                    )
                    let line := addmod(mload(add(V, 0x160)), mulmod(slope, addmod(x, neg(mload(M_ZETA)), R), R), R)
                    c := addmod(c, mulmod(s, line, R), R)
                }
                {
                    // the fold of the rows, the pinned point, the price point
                    s := mulmod(mulmod(g5, gamma, R), mload(add(at, 0x60)), R)
                    c := addmod(
                        c,
                        mulmod(
                            s,
                            four(x, mload(add(V, 0x1a0)), mload(add(V, 0x1c0)), mload(add(V, 0x1e0)), mload(add(V, 0x200))),
                            R
                        ),
                        R
                    )
                    let w := mulmod(s, addmod(1, neg(mload(M_P)), R), R)
                    let entry := MSM
                    let inverses := mload(M_INVERSES)
                    for { let end := add(inverses, shl(5, mload(M_FIRST))) } lt(inverses, end) {
                        inverses := add(inverses, 0x20)
                    } {
                        accumulate(entry, mulmod(w, mload(inverses), R))
                        entry := add(entry, 160)
                    }
                    w := mulmod(w, mload(M_RHO_64), R)
                    inverses := mload(M_INVERSES)
                    for { let end := add(inverses, shl(5, sub(mload(M_ROWS), mload(M_FIRST)))) } lt(inverses, end) {
                        inverses := add(inverses, 0x20)
                    } {
                        accumulate(entry, mulmod(w, mload(inverses), R))
                        entry := add(entry, 160)
                    }
                    s := mulmod(s, gamma, R)
                    accumulate(entry, s)
                    c := addmod(
                        c,
                        mulmod(
                            s,
                            four(x, mload(add(V, 0x220)), mload(add(V, 0x240)), mload(add(V, 0x260)), mload(add(V, 0x280))),
                            R
                        ),
                        R
                    )
                    s := mulmod(s, gamma, R)
                    accumulate(add(entry, 160), s)
                    c := addmod(
                        c, mulmod(s, four(x, mload(add(V, 0x2a0)), mload(add(V, 0x2c0)), mload(add(V, 0x2e0)), 1), R), R
                    )
                    accumulate(add(entry, 320), neg(c))
                }
                put(add(e, 1280), add(p, 832), 6, neg(alpha))
                put(add(e, 1440), add(p, 928), 7, mulmod(alpha, x, R))
            }

            {
                let m := mload(A_COUNT)
                let item := mload(M_ITEM)
                let all := 0
                let p := mload(A_PROOFS)
                let c := mload(M_CHALLENGES)
                for { let i := 0 } lt(i, m) { i := add(i, 1) } {
                    let state := transcript(p, calldataload(add(mload(A_NONCES), shl(5, i))), c)
                    mstore(0x00, all)
                    mstore(0x20, state)
                    all := keccak256(0x00, 0x40)
                    p := add(p, add(item, 32))
                    c := add(c, 224)
                }
                let step := 0
                if gt(m, 1) { step := challenge(all, 0) }
                mstore(M_ALPHA, 1)
                p := mload(A_PROOFS)
                c := mload(M_CHALLENGES)
                let e := mload(M_POINTS)
                for { let i := 0 } lt(i, m) { i := add(i, 1) } {
                    mcopy(M_BETA, c, 192)
                    calldatacopy(V, add(p, 1024), sub(item, 1024))
                    canonical(V)
                    mstore(M_RHO_64, squared(mload(M_RHO), 6))
                    mstore(M_VANISHING, addmod(squared(mload(M_ZETA), 10), R_1, R))
                    denominators(p)
                    let d, cpos, ccol := identity(p)
                    openings(p, e, d, cpos, ccol)
                    if gt(m, 1) { put(add(mload(M_LAST), mul(160, i)), add(p, 928), 7, mload(M_ALPHA)) }
                    mstore(M_ALPHA, mulmod(mload(M_ALPHA), step, R))
                    p := add(p, add(item, 32))
                    c := add(c, 224)
                    e := add(e, 1600)
                }
            }

            // --- one MSM, one pairing check ----------------------------------------------------------------------------
            {
                let m := mload(A_COUNT)
                let b := BUFFER
                msm(MSM, mload(M_LAST), b)
                // [1]_2
                mstore(add(b, 0x80), 0x00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051)
                mstore(add(b, 0xa0), 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8)
                mstore(add(b, 0xc0), 0x0000000000000000000000000000000013e02b6052719f607dacd3a088274f65)
                mstore(add(b, 0xe0), 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e)
                mstore(add(b, 0x100), 0x000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a)
                mstore(add(b, 0x120), 0xadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801)
                mstore(add(b, 0x140), 0x000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99)
                mstore(add(b, 0x160), 0xcb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be)
                switch m
                case 1 { mcopy(add(b, 0x180), sub(mload(M_LAST), 160), 0x80) }
                default { msm(mload(M_LAST), add(mload(M_LAST), mul(160, m)), add(b, 0x180)) }
                // -[tau]_2
                mstore(add(b, 0x200), 0x00000000000000000000000000000000185cbfee53492714734429b7b38608e2)
                mstore(add(b, 0x220), 0x3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2)
                mstore(add(b, 0x240), 0x0000000000000000000000000000000015bfd7dd8cdeb128843bc287230af389)
                mstore(add(b, 0x260), 0x26187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72)
                mstore(add(b, 0x280), 0x0000000000000000000000000000000018bdbe2c8014842c7345b930a979b035)
                mstore(add(b, 0x2a0), 0x5161e23be55c34a67f0c80fc60072caad1c992ee58120c7bcb966404447c8012)
                mstore(add(b, 0x2c0), 0x00000000000000000000000000000000039a4c9f2f4d940547d877eb6333918b)
                mstore(add(b, 0x2e0), 0x74fd6d7af721ab9f8cd200e65ab6ee9a8a16cb8f73d9363296fa710cf2f5955c)
                if iszero(staticcall(105000, 0x0f, b, 0x300, 0x00, 0x20)) { fail(0xb8fedf87) }
                if iszero(eq(returndatasize(), 0x20)) { fail(0xf2f78149) }
                if iszero(eq(mload(0x00), 1)) { fail(0xc3b0d8cd) } // ProofRejected()

                let c := add(mload(M_CHALLENGES), 192)
                mstore(0x00, mload(M_TABLE_HASH))
                if iszero(mload(A_BATCH)) {
                    mstore(0x20, mload(c))
                    return(0x00, 0x40)
                }
                mstore(0x20, 0x40)
                mstore(0x40, m)
                let at := 0x60
                for { let i := 0 } lt(i, m) { i := add(i, 1) } {
                    // digests go below what is still to be read: 32 bytes for every 224
                    mstore(at, mload(add(c, mul(224, i))))
                    at := add(at, 0x20)
                }
                return(0x00, at)
            }
        }
    }

    /// @dev The pinned layout into memory: scenarios and debts, the layout digest into the buffer of the table hash, the
    /// pinned point where the table will be laid out.
    function _pins() private view {
        uint256 s0 = SCENARIOS_0;
        uint256 s1 = SCENARIOS_1;
        uint256 debts = DEBTS;
        bytes32 digest = LAYOUT_DIGEST;
        bytes32 a = PINNED_0;
        bytes32 b = PINNED_1;
        bytes32 c = PINNED_2;
        assembly {
            mstore(A_SCENARIOS_0, s0)
            mstore(A_SCENARIOS_1, s1)
            mstore(A_DEBTS, debts)
            mstore(add(BUFFER, 0xa0), digest)
            mstore(M_BETA, a)
            mstore(add(M_BETA, 0x20), b)
            mstore(add(M_BETA, 0x40), c)
        }
    }
}

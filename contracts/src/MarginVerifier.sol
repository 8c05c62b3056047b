// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChainVerifier} from "./ChainVerifier.sol";
import {IMarginVerifier} from "./IMarginVerifier.sol";

/// @title Verifier of zkmargin's margin proofs of single accounts, protocol chain/v1. Unaudited.
/// @notice Accepts a proof exactly when the Python verifier does, whatever account sends it.
/// @dev Letters and equations are those of docs/protocol-chain.md. What a caller sends for each proof, `M_ITEM` bytes:
///   num (32)  den (32)  positions (96)  collateral (96)
///   F1 F2 F3 H phi T W W' (96 each, x || y)
///   f0 .. f6  mu  h0 h1 h2  phi(zeta) phi(omega zeta)  r0 .. r3  t sel_p W claim  marks som_0  [som_1 f7]  [side rows]   (32 each)
///   the inverse of the product of all denominators (32): a help, no part of what is proved
/// som_1 and f7 exist from two risk groups on and with gain offsets, side rows with more than two groups or charges by
/// size.
contract MarginVerifier is ChainVerifier, IMarginVerifier {
    bytes32 private constant PROTOCOL = "zkmargin/chain/v1";

    // What a batch needs beside the words of ChainVerifier, and values at zeta that only this protocol has.
    uint256 private constant A_NONCES = 0xe0;
    uint256 private constant A_BATCH = 0x1c0;
    uint256 private constant M_CHALLENGES = 0x300;
    uint256 private constant M_ITEM = 0x320;
    uint256 private constant M_ALPHA = 0x420; // weight in the batch
    uint256 private constant V_MU = 0x6c0; // mu
    uint256 private constant V_H = 0x6e0; // h0 h1 h2

    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 flags, bytes memory pinned)
        ChainVerifier(instruments, scenarios0, scenarios1, flags, pinned)
    {}

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
        _arguments(tableAt, table.length, address(0), proofsAt, proofs.length);
        _checkAll(noncesAt, nonces.length, true);
    }

    function _checkOne() internal view override returns (bytes32, bytes32) {
        _checkAll(NONCE, 1, false);
    }

    /// @dev Checks `count` proofs, whose nonces stand in the call's data, and ends the call: it returns (table hash,
    /// statement digest or digests), or reverts.
    function _checkAll(uint256 noncesAt, uint256 count, bool batch) private view {
        _store(A_NONCES, noncesAt);
        _store(A_COUNT, count);
        _store(A_BATCH, batch ? 1 : 0);
        _table();
        _places();
        uint256 step = _transcripts();
        _proofs(step);
        _check(_load(A_COUNT) == 1 ? 0 : _load(A_COUNT));
        _answer();
    }

    /// @dev Entries of the proofs after those of the table, then W' by the weights of a batch, then challenges.
    function _places() private view {
        unchecked {
            uint256 count = _load(A_COUNT);
            uint256 last = _load(M_POINTS) + 1600 * count;
            _store(M_LAST, last);
            _store(M_CHALLENGES, last + 160 * count);
            uint256 size = (_oneColumn() ? 1760 : 1824) + 32 * _sideRows();
            _store(M_ITEM, size);
            if (count == 0 || _load(A_PROOFS_LENGTH) != (size + 32) * count) _fail(WrongProofLength.selector);
            _widen(_load(M_CHALLENGES) + 224 * count);
        }
    }

    /// @dev Every proof's challenges and statement digest, seven words each; the step between the weights of a batch.
    function _transcripts() private view returns (uint256 step) {
        unchecked {
            uint256 all;
            uint256 p = _load(A_PROOFS);
            uint256 c = _load(M_CHALLENGES);
            uint256 nonce = _load(A_NONCES);
            for (uint256 end = nonce + 32 * _load(A_COUNT); nonce < end; nonce += 32) {
                uint256 state = _transcript(p, _word(nonce), c);
                assembly {
                    mstore(0x00, all)
                    mstore(0x20, state)
                    all := keccak256(0x00, 0x40)
                }
                p += _load(M_ITEM) + 32;
                c += 224;
            }
            if (_load(A_COUNT) > 1) step = _challenge(all, 0);
        }
    }

    function _transcript(uint256 p, uint256 nonce, uint256 c) private view returns (uint256 state) {
        unchecked {
            _claimInRange(p);
            state = _statement(BUFFER, PROTOCOL, nonce, p, 256);
            _store(c + 192, state);
            state = _absorb(BUFFER, state, p + 256, 288);
            _store(c, _challenge(state, 0));
            _store(c + 32, _challenge(state, 1));
            state = _absorb(BUFFER, state, p + 544, 192);
            _store(c + 64, _challenge(state, 0));
            state = _absorb(BUFFER, state, p + 736, 96);
            _store(c + 96, _challenge(state, 0));
            state = _absorb(BUFFER, state, p + 1024, _load(M_ITEM) - 1024);
            _store(c + 128, _challenge(state, 0));
            state = _absorb(BUFFER, state, p + 832, 96);
            _store(c + 160, _challenge(state, 0));
            state = _absorb(BUFFER, state, p + 928, 96);
        }
    }

    /// @dev The entries of every proof, and what it adds to those of the table.
    function _proofs(uint256 step) private view {
        unchecked {
            _store(M_ALPHA, 1);
            uint256 p = _load(A_PROOFS);
            uint256 c = _load(M_CHALLENGES);
            uint256 e = _load(M_POINTS);
            uint256 count = _load(A_COUNT);
            for (uint256 i = 0; i < count; ++i) {
                uint256 size = _load(M_ITEM);
                if (_takesWide()) size -= 32 * _sideRows();
                assembly {
                    mcopy(M_BETA, c, 192)
                    calldatacopy(V, add(p, 1024), sub(size, 1024))
                }
                if (_takesWide()) {
                    // the side rows, which come last, have a place of their own
                    uint256 wide = _wideAt();
                    uint256 length = 32 * _sideRows();
                    assembly {
                        calldatacopy(wide, add(p, size), length)
                    }
                    size += length;
                }
                _canonical();
                _store(M_RHO_64, _squared(_load(M_RHO), 6));
                _store(M_VANISHING, addmod(_squared(_load(M_ZETA), 10), R_1, R));
                _denominators(_word(p + size));
                _open(p, e);
                if (count > 1) _put(_load(M_LAST) + 160 * i, p + 928, 7, _load(M_ALPHA));
                _store(M_ALPHA, mulmod(_load(M_ALPHA), step, R));
                p += size + 32;
                c += 224;
                e += 1600;
            }
        }
    }

    /// @dev Every value at zeta is below R (with one group the last two are 0).
    function _canonical() private view {
        bool good = true;
        uint256 v = V;
        assembly {
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
        }
        if (!good) {
            unchecked {
                v = V;
                while (_load(v) < R) v += 32;
                _failAt(ScalarOutOfRange.selector, (v - V) / 32);
            }
        }
        if (_wideAt() != 0) _canonicalSides();
    }

    function _canonicalSides() private view {
        unchecked {
            uint256 rows = _sideRows();
            for (uint256 i = 0; i < rows; ++i) {
                if (_load(_wideAt() + 32 * i) >= R) {
                    _failAt(ScalarOutOfRange.selector, (_oneColumn() ? 23 : 25) + i);
                }
            }
        }
    }

    /// @dev Scalars of sum_i gamma^i / Z_i(x) (C_i - [r_i(x)]) - W + x W', times the proof's weight alpha.
    function _open(uint256 p, uint256 e) private view {
        unchecked {
            uint256 alpha = _load(M_ALPHA);
            uint256 over = _quotients();
            uint256 s = mulmod(alpha, _load(over), R);
            uint256 c;
            {
                // Z T + c_pos positions + c_col collateral = d at zeta
                (uint256 d, uint256 cPositions, uint256 cCollateral) = _identity(p);
                c = mulmod(s, d, R);
                _put(e, p + 736, 5, mulmod(s, _load(M_VANISHING), R));
                _put(e + 160, p + 64, 8, mulmod(s, cPositions, R));
                _put(e + 320, p + 160, 9, mulmod(s, cCollateral, R));
            }
            uint256 x = _load(M_X);
            uint256 gamma = _load(M_GAMMA);
            // F1, F2, F3, H: [f0 f1 f2] [f3 f4 f5] [f6 f7 mu] [h0 h1 h2]
            s = mulmod(mulmod(alpha, gamma, R), _load(over + 0x40), R);
            _put(e + 480, p + 256, 0, s);
            c = addmod(c, mulmod(s, _three(x, _load(V), _load(V + 0x20), _load(V + 0x40)), R), R);
            s = mulmod(s, gamma, R);
            _put(e + 640, p + 352, 1, s);
            c = addmod(c, mulmod(s, _three(x, _load(V + 0x60), _load(V + 0x80), _load(V + 0xa0)), R), R);
            s = mulmod(s, gamma, R);
            _put(e + 800, p + 448, 2, s);
            c = addmod(c, mulmod(s, _three(x, _load(V_F6), _load(V_F7), _load(V_MU)), R), R);
            s = mulmod(s, gamma, R);
            _put(e + 960, p + 544, 3, s);
            c = addmod(c, mulmod(s, _three(x, _load(V_H), _load(V_H + 0x20), _load(V_H + 0x40)), R), R);
            uint256 g5 = mulmod(mulmod(_fourth(gamma), gamma, R), alpha, R);
            s = mulmod(g5, _load(over + 0x20), R);
            _put(e + 1120, p + 640, 4, s);
            c = addmod(c, mulmod(s, _phiLine(_load(over + 0x80)), R), R);
            _openTable(mulmod(mulmod(g5, gamma, R), _load(over + 0x60), R), c);
            _put(e + 1280, p + 832, 6, R - alpha);
            _put(e + 1440, p + 928, 7, mulmod(alpha, x, R));
        }
    }

    /// @dev The identity of message 3 at zeta with the values put in.
    function _identity(uint256 p) private view returns (uint256 d, uint256 cPositions, uint256 cCollateral) {
        unchecked {
            uint256 chi = _load(M_CHI);
            uint256 chi4 = _fourth(chi);
            {
                // U_positions - chi^4 - chi^5 sel_p, U_collateral - chi^6 sel_c
                uint256 selector;
                (cPositions, cCollateral, selector) = _committed(_word(p + 32));
                uint256 chi5 = mulmod(chi4, chi, R);
                cPositions = addmod(cPositions, R - addmod(chi4, mulmod(chi5, _load(V_SELECTOR), R), R), R);
                cCollateral = addmod(cCollateral, R - mulmod(mulmod(chi5, chi, R), selector, R), R);
            }
            // d = phi(omega zeta) - phi(zeta) + short (w_0 som_0 + w_1 som_1) + long .. - packed - rho^133 sum h + ..
            d = addmod(_load(V_SHIFTED), R - _load(V_PHI), R);
            {
                if (_takesWide()) {
                    _wideForms(_word(p));
                    d = addmod(d, addmod(mulmod(_longs(), _digits(V), R), R - _constants(), R), R);
                }
                uint256 short = _digits(V + 0x60);
                d = addmod(d, mulmod(_minimums(), short, R), R);
                d = addmod(d, mulmod(chi4, addmod(short, R - _digits(V), R), R), R); // - chi^4 (long - short)
            }
            {
                (uint256 first, uint256 second) = _packed(_word(p), _word(p + 32));
                d = addmod(d, R - addmod(mulmod(_load(V_F6), first, R), mulmod(_load(V_F7), second, R), R), R);
            }
            {
                uint256 w128 = mulmod(_load(M_RHO_64), _load(M_RHO_64), R);
                uint256 w133 = mulmod(w128, mulmod(_load(M_RHO_4), _load(M_RHO), R), R);
                uint256 h = addmod(_load(V_H), addmod(_load(V_H + 0x20), _load(V_H + 0x40), R), R);
                d = addmod(d, R - mulmod(w133, h, R), R);
            }
            {
                // chi (helper_0 + chi (helper_1 + chi (h2 b6 b7 bt - (b6 + b7) bt + mu b6 b7)))
                uint256 beta = _load(M_BETA);
                uint256 b6 = addmod(_load(V_F6), beta, R);
                uint256 b7 = addmod(_load(V_F7), beta, R);
                uint256 bt = addmod(_load(V_T), beta, R);
                uint256 b67 = mulmod(b6, b7, R);
                uint256 g = addmod(mulmod(_load(V_MU), b67, R), R - mulmod(addmod(b6, b7, R), bt, R), R);
                g = addmod(g, mulmod(_load(V_H + 0x40), mulmod(b67, bt, R), R), R);
                g = addmod(_helper(_load(V_H + 0x20), V + 0x60), mulmod(chi, g, R), R);
                g = addmod(_helper(_load(V_H), V), mulmod(chi, g, R), R);
                d = addmod(d, mulmod(chi, g, R), R);
            }
        }
    }

    function _answer() private pure {
        assembly {
            let c := add(mload(M_CHALLENGES), 192)
            mstore(0x00, mload(M_TABLE_HASH))
            if iszero(mload(A_BATCH)) {
                mstore(0x20, mload(c))
                return(0x00, 0x40)
            }
            let m := mload(A_COUNT)
            mstore(0x20, 0x40)
            mstore(0x40, m)
            let end := 0x60
            for { let i := 0 } lt(i, m) { i := add(i, 1) } {
                // digests go below what is still to be read: 32 bytes for every 224
                mstore(end, mload(add(c, mul(224, i))))
                end := add(end, 0x20)
            }
            return(0x00, end)
        }
    }
}

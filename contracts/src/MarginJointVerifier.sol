// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChainVerifier} from "./ChainVerifier.sol";

/// @title Verifier of one proof for many accounts together, protocol chain-joint/v1. Unaudited.
/// @notice Accepts a proof exactly when the Python verifier does, whatever account sends it: every one of its accounts
/// meets the claim. Whoever makes the proof knows all of their books; nobody else learns anything of them.
/// @dev Letters and equations are those of docs/protocol-chain-joint.md. m accounts, G groups; side columns s = 6 m,
/// packed columns q = G m, points of columns F = 2 m + ceil((q + 1)/3), points of helpers H = ceil(F/3). A proof is
///   m (32)  num (32)  den (32)
///   positions (96)  collateral (96)                        of each account
///   F points  H points  phi T W W'                         (96 each, x || y)
///   f0 .. f5 of each account   f6 [f7] of each account   mu   h_0 .. h_{F-1}                          (32 each)
///   phi(zeta) phi(omega zeta)  r0 .. r3  t sel_p W claim  marks som_0  [som_1]  [side rows]           (32 each)
///   the inverse of the product of all denominators (32): a help, no part of what is proved
/// f7 and som_1 exist from two risk groups on and with gain offsets, side rows with more than two groups or charges by size. G counts packed
/// columns below: two from two groups on.
contract MarginJointVerifier is ChainVerifier {
    bytes32 private constant PROTOCOL = "zkmargin/chain-joint/v1";
    /// @notice No proof has more accounts: beyond them a transaction has no gas for it.
    uint256 public constant MAX_ACCOUNTS = 256;

    // What a proof of many accounts needs beside the words of ChainVerifier; offsets are of calldata.
    uint256 private constant J_BUFFER = 0xe0; // hash buffer, after all entries
    uint256 private constant J_DIGEST = 0x1c0;
    uint256 private constant J_PACKS = 0x300; // points of packed columns and mu
    uint256 private constant J_POINTS = 0x320; // offset of the F points
    uint256 private constant J_SIDES = 0x420; // offset of f0 .. f5 of the first account
    uint256 private constant J_PACKED = 0x6c0; // offset of the packed columns
    uint256 private constant J_HELPERS = 0x6e0; // offset of h_0
    uint256 private constant J_COUNT_F = 0x700; // F
    uint256 private constant J_GROUPS = 0x720; // G

    constructor(uint256 instruments, uint256 scenarios0, uint256 scenarios1, uint256 flags, bytes memory pinned)
        ChainVerifier(instruments, scenarios0, scenarios1, flags, pinned)
    {}

    function _checkOne() internal view override returns (bytes32, bytes32) {
        _table();
        _places();
        _transcript();
        uint256 sides = _load(J_SIDES);
        uint256 end = _load(A_PROOFS) + _load(A_PROOFS_LENGTH) - 32;
        _canonical(sides, end);
        uint256 wide = _wideAt();
        assembly {
            // phi(zeta) .. the last value, to where the closed forms read them
            let from := add(mload(J_HELPERS), shl(5, mload(J_COUNT_F)))
            let length := sub(end, from)
            if wide {
                length := shl(5, add(11, mload(J_GROUPS)))
                calldatacopy(wide, add(from, length), sub(sub(end, from), length))
            }
            calldatacopy(V_PHI, from, length)
        }
        _store(M_RHO_64, _squared(_load(M_RHO), 6));
        _store(M_VANISHING, addmod(_squared(_load(M_ZETA), 10), R_1, R));
        _denominators(_word(end));
        _open();
        _check(0);
        _store(0x40, 0x80); // the compiler's free memory pointer: it encodes what is returned
        return (bytes32(_load(M_TABLE_HASH)), bytes32(_load(J_DIGEST)));
    }

    /// @dev Where everything stands, by m; refuses another length.
    function _places() private view {
        unchecked {
            uint256 p = _load(A_PROOFS);
            uint256 length = _load(A_PROOFS_LENGTH);
            uint256 m = _word(p);
            if (m == 0 || m > MAX_ACCOUNTS) _fail(WrongProofLength.selector);
            uint256 groups = _oneColumn() ? 1 : 2;
            uint256 packs = (groups * m + 3) / 3; // ceil((G m + 1)/3)
            uint256 countF = 2 * m + packs;
            uint256 points = countF + (countF + 2) / 3 + 4;
            uint256 pointsAt = p + 96 + 192 * m;
            uint256 sides = pointsAt + 96 * points;
            uint256 packed = sides + 192 * m;
            uint256 helpers = packed + 32 * (groups * m + 1);
            if (length != helpers + 32 * (countF + 12 + groups + _sideRows()) - p) _fail(WrongProofLength.selector);
            _store(A_COUNT, m);
            _store(J_PACKS, packs);
            _store(J_COUNT_F, countF);
            _store(J_GROUPS, groups);
            _store(J_POINTS, pointsAt);
            _store(J_SIDES, sides);
            _store(J_PACKED, packed);
            _store(J_HELPERS, helpers);
            uint256 last = _load(M_POINTS) + 160 * (2 * m + points);
            _store(M_LAST, last);
            _store(J_BUFFER, last);
            _widen(last + length + 0x100); // after what the transcript hashes
        }
    }

    function _transcript() private view {
        unchecked {
            uint256 buffer = _load(J_BUFFER);
            uint256 p = _load(A_PROOFS);
            uint256 pointsAt = _load(J_POINTS);
            uint256 sides = _load(J_SIDES);
            _claimInRange(p + 32);
            uint256 state = _statement(buffer, PROTOCOL, _word(NONCE), p, pointsAt - p);
            _store(J_DIGEST, state);
            uint256 sizeF = 96 * _load(J_COUNT_F);
            state = _absorb(buffer, state, pointsAt, sizeF);
            _store(M_BETA, _challenge(state, 0));
            _store(M_RHO, _challenge(state, 1));
            state = _absorb(buffer, state, pointsAt + sizeF, sides - 288 - pointsAt - sizeF);
            _store(M_CHI, _challenge(state, 0));
            state = _absorb(buffer, state, sides - 288, 96);
            _store(M_ZETA, _challenge(state, 0));
            state = _absorb(buffer, state, sides, p + _load(A_PROOFS_LENGTH) - 32 - sides);
            _store(M_GAMMA, _challenge(state, 0));
            state = _absorb(buffer, state, sides - 192, 96);
            _store(M_X, _challenge(state, 0));
        }
    }

    /// @dev Every value at zeta is below R; the inverse after them is refused elsewhere.
    function _canonical(uint256 from, uint256 end) private pure {
        bool good = true;
        assembly {
            let v := from
            for { let whole := sub(end, 96) } lt(v, whole) { v := add(v, 0x80) } {
                good := and(
                    good,
                    and(
                        and(lt(calldataload(v), R), lt(calldataload(add(v, 0x20)), R)),
                        and(lt(calldataload(add(v, 0x40)), R), lt(calldataload(add(v, 0x60)), R))
                    )
                )
            }
            for {} lt(v, end) { v := add(v, 0x20) } { good := and(good, lt(calldataload(v), R)) }
        }
        if (!good) {
            unchecked {
                uint256 v = from;
                while (_word(v) < R) v += 32;
                _failAt(ScalarOutOfRange.selector, (v - from) / 32);
            }
        }
    }

    /// @dev Scalars of sum_i gamma^i / Z_i(x) (C_i - [r_i(x)]) - W + x W': D, the F points, the H points, phi, table.
    function _open() private view {
        unchecked {
            uint256 over = _quotients();
            uint256 gamma = _load(M_GAMMA);
            uint256 e = _load(M_POINTS);
            uint256 next = e + 320 * _load(A_COUNT);
            uint256 offset = _load(J_SIDES) - 384;
            uint256 c = mulmod(_load(over), _identity(e, _load(over)), R);
            _put(next, offset + 96, 5, mulmod(_load(over), _load(M_VANISHING), R));
            next += 160;
            uint256 s = mulmod(gamma, _load(over + 0x40), R);
            (next, s, c) = _openColumns(next, s, c);
            // s is gamma^(1 + F + H) / (x^3 - zeta); phi has another denominator
            s = mulmod(s, _cube(), R);
            uint256 t = mulmod(s, _load(over + 0x20), R);
            _put(next, offset, 4, t);
            c = addmod(c, mulmod(t, _phiLine(_load(over + 0x80)), R), R);
            _openTable(mulmod(mulmod(s, gamma, R), _load(over + 0x60), R), c);
            _put(next + 160, offset + 192, 6, R_1);
            _put(next + 320, offset + 288, 7, _load(M_X));
        }
    }

    /// @dev x^3 - zeta.
    function _cube() private pure returns (uint256) {
        unchecked {
            uint256 x = _load(M_X);
            return addmod(mulmod(mulmod(x, x, R), x, R), R - _load(M_ZETA), R);
        }
    }

    /// @dev Columns by threes, then helpers by threes, opened at X^3 = zeta.
    function _openColumns(uint256 next, uint256 s, uint256 c) private pure returns (uint256, uint256, uint256) {
        unchecked {
            uint256 from = _load(J_POINTS);
            uint256 v = _load(J_SIDES);
            // sides, then packed columns and mu, then helpers: the values follow each other, the last three of a kind
            // may be fewer
            (next, from, s, c) = _openThrees(next, from, v, _load(J_PACKED), 0, s, c);
            (next, from, s, c) = _openThrees(next, from, _load(J_PACKED), _load(J_HELPERS), 2, s, c);
            v = _load(J_HELPERS);
            (next, from, s, c) = _openThrees(next, from, v, v + 32 * _load(J_COUNT_F), 3, s, c);
            return (next, s, c);
        }
    }

    function _openThrees(uint256 next, uint256 from, uint256 v, uint256 end, uint256 place, uint256 s, uint256 c)
        private
        pure
        returns (uint256, uint256, uint256, uint256)
    {
        unchecked {
            uint256 x = _load(M_X);
            uint256 gamma = _load(M_GAMMA);
            for (uint256 whole = end - 64; v < whole; v += 96) {
                _put(next, from, place, s);
                c = addmod(c, mulmod(s, _three(x, _word(v), _word(v + 32), _word(v + 64)), R), R);
                s = mulmod(s, gamma, R);
                next += 160;
                from += 96;
            }
            if (v < end) {
                _put(next, from, place, s);
                uint256 second = v + 32 < end ? _word(v + 32) : 0;
                c = addmod(c, mulmod(s, addmod(_word(v), mulmod(x, second, R), R), R), R);
                s = mulmod(s, gamma, R);
                next += 160;
                from += 96;
            }
            return (next, from, s, c);
        }
    }

    /// @dev d of Z T + sum_a c_pos,a positions_a + c_col,a collateral_a = d at zeta; the commitments' entries.
    function _identity(uint256 e, uint256 over) private view returns (uint256 d) {
        unchecked {
            uint256 p = _load(A_PROOFS);
            d = addmod(_load(V_SHIFTED), R - _load(V_PHI), R);
            (uint256 weight, uint256 power, uint256 sum) = _accounts(e, over, p);
            d = addmod(d, sum, R);
            // - rho^(133 m) sum h: the weight after the last account's
            uint256 h = 0;
            uint256 v = _load(J_HELPERS);
            for (uint256 end = v + 32 * _load(J_COUNT_F); v < end; v += 32) h = addmod(h, _word(v), R);
            d = addmod(d, R - mulmod(weight, h, R), R);
            d = addmod(d, _packs(power), R);
        }
    }

    /// @dev Every account's equations and row identities, its commitments' entries; the next powers of rho^133 and chi.
    function _accounts(uint256 e, uint256 over, uint256 p)
        private
        view
        returns (uint256 weight, uint256 power, uint256 sum)
    {
        unchecked {
            uint256 stride = _load(M_RHO_64);
            stride = mulmod(mulmod(stride, stride, R), mulmod(_load(M_RHO_4), _load(M_RHO), R), R); // rho^133
            if (_wideAt() != 0) _wideForms(_word(p + 32));
            (uint256 uPositions, uint256 uCollateral, uint256 selector) = _committed(_word(p + 64));
            (uint256 first, uint256 second) = _packed(_word(p + 32), _word(p + 64));
            // kept in memory, where the stack is too small for them: f6 and f7 of no account are there
            _store(V_F6, R - first);
            _store(V_F7, R - second);
            if (_wideAt() != 0) {
                _store(BUFFER + 0xa0, _longs());
                _store(BUFFER + 0xc0, R - _constants());
            }
            _store(BUFFER, _minimums());
            _store(BUFFER + 0x20, uPositions);
            _store(BUFFER + 0x40, uCollateral);
            _store(BUFFER + 0x60, selector);
            weight = 1;
            power = 1;
            p += 96;
            for (uint256 end = e + 320 * _load(A_COUNT); e < end; e += 320) {
                uint256 s = (end - e) / 320;
                uint256 t;
                (t, power) = _account(_load(A_COUNT) - s, weight, power);
                sum = addmod(sum, t, R);
                // c_pos = weight U_positions - chi^3 - chi^4 sel_p, c_col = weight U_collateral - chi^5 sel_c
                s = addmod(mulmod(weight, _load(BUFFER + 0x20), R), R - _load(BUFFER + 0x80), R);
                _put(e, p, 8, mulmod(over, s, R));
                s = addmod(
                    mulmod(weight, _load(BUFFER + 0x40), R), R - mulmod(power, _load(BUFFER + 0x60), R), R
                );
                _put(e + 160, p + 96, 9, mulmod(over, s, R));
                weight = mulmod(weight, stride, R);
                p += 192;
            }
        }
    }

    /// @dev One account's part of d, by its weight rho^(133 a) and chi^(5 a); chi^(5 a + 5), and what its positions take
    /// at BUFFER + 0x80.
    function _account(uint256 a, uint256 weight, uint256 power) private pure returns (uint256 sum, uint256 next) {
        unchecked {
            uint256 v = _load(J_SIDES) + 192 * a;
            assembly {
                calldatacopy(V, v, 192)
            }
            uint256 chi = _load(M_CHI);
            uint256 short = _digits(V + 0x60);
            // short (w_0 som_0 + w_1 som_1) + long .. - f6 U_0 - f7 U_1
            sum = mulmod(short, _load(BUFFER), R);
            // .. - sel_p (r_0 + ..)
            if (_wideAt() != 0) {
                sum = addmod(sum, addmod(mulmod(_digits(V), _load(BUFFER + 0xa0), R), _load(BUFFER + 0xc0), R), R);
            }
            v = _load(J_PACKED) + 32 * a;
            if (_load(J_GROUPS) == 2) {
                v += 32 * a;
                sum = addmod(sum, mulmod(_word(v + 32), _load(V_F7), R), R);
            }
            sum = mulmod(weight, addmod(sum, mulmod(_word(v), _load(V_F6), R), R), R);
            // chi (helper_2a + chi (helper_2a+1 + chi (short - long)))
            v = _load(J_HELPERS) + 64 * a;
            uint256 g = addmod(short, R - _digits(V), R);
            g = addmod(_helper(_word(v + 32), V + 0x60), mulmod(chi, g, R), R);
            g = addmod(_helper(_word(v), V), mulmod(chi, g, R), R);
            power = mulmod(power, chi, R);
            sum = addmod(sum, mulmod(power, g, R), R);
            power = mulmod(mulmod(power, chi, R), chi, R); // chi^(5 a + 3)
            next = mulmod(power, chi, R);
            _store(BUFFER + 0x80, addmod(power, mulmod(next, _load(V_SELECTOR), R), R));
            next = mulmod(next, chi, R);
        }
    }

    /// @dev Identities of the packed columns' helpers, by threes: h prod b - sum_i s_i prod_{j != i} b_j, where mu has
    /// b = beta + t and s = - mu.
    function _packs(uint256 power) private pure returns (uint256 sum) {
        unchecked {
            uint256 chi = _load(M_CHI);
            uint256 beta = _load(M_BETA);
            uint256 v = _load(J_PACKED);
            uint256 last = _load(J_HELPERS) - 32; // mu
            uint256 h = _load(J_HELPERS) + 64 * _load(A_COUNT);
            for (uint256 end = h + 32 * _load(J_PACKS); h < end; h += 32) {
                uint256 product = 1;
                uint256 parts = 0;
                for (uint256 stop = v + 96; v < stop && v < last; v += 32) {
                    uint256 b = addmod(_word(v), beta, R);
                    parts = addmod(mulmod(parts, b, R), product, R);
                    product = mulmod(product, b, R);
                }
                if (h + 32 == end) {
                    uint256 b = addmod(_load(V_T), beta, R);
                    parts = addmod(mulmod(parts, b, R), R - mulmod(_word(last), product, R), R);
                    product = mulmod(product, b, R);
                }
                power = mulmod(power, chi, R);
                sum = addmod(sum, mulmod(power, addmod(mulmod(_word(h), product, R), R - parts, R), R), R);
            }
        }
    }
}

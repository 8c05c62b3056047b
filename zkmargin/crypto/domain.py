"""Evaluation domains H = <omega> of size n = 2^k and the transforms between the two bases of polynomials.

Everything is on Python integers. A polynomial in the Lagrange basis is the list of its n values on H in the
order 1, omega, omega^2, ...; in the monomial basis, the list of its coefficients, lowest first.
"""

from __future__ import annotations

from functools import cache

from zkmargin.crypto.field import GENERATOR, TWO_ADICITY, inverse, powers, r


class Domain:
    """H = <omega> with omega = 7^((r-1)/n): the same generator as the Ethereum ceremony's Lagrange points.

    Raises:
        ValueError: n is not a power of two between 1 and 2^32.
    """

    def __init__(self, n: int) -> None:
        if n < 1 or n & (n - 1) or n > 1 << TWO_ADICITY:
            raise ValueError(f"a domain has 2^k elements, k <= {TWO_ADICITY}: not {n}")
        self.n = n
        self.k = n.bit_length() - 1
        self.omega = pow(GENERATOR, (r - 1) // n, r)

    @classmethod
    @cache
    def of(cls, n: int) -> Domain:
        """The domain of size n (one shared object a size)."""
        return cls(n)

    @property
    def elements(self) -> list[int]:
        """``[omega^0, ..., omega^(n-1)]``."""
        return _elements(self.n, self.omega)

    def vanishing_at(self, x: int) -> int:
        """Z_H(x) = x^n - 1."""
        return (pow(x, self.n, r) - 1) % r

    def ntt(self, coefficients: list[int]) -> list[int]:
        """Values on H of a polynomial of at most n coefficients (ValueError beyond)."""
        if len(coefficients) > self.n:
            raise ValueError(f"{len(coefficients)} coefficients do not fit a domain of {self.n}")
        return _butterflies([*coefficients, *[0] * (self.n - len(coefficients))], self.omega)

    def intt(self, values: list[int]) -> list[int]:
        """The n coefficients of the polynomial with these values on H. ValueError for another length."""
        if len(values) != self.n:
            raise ValueError(f"{len(values)} values on a domain of {self.n}")
        scale = inverse(self.n)
        return [x * scale % r for x in _butterflies(list(values), inverse(self.omega))]


@cache
def _elements(n: int, omega: int) -> list[int]:
    return powers(omega, n)


def _butterflies(a: list[int], omega: int) -> list[int]:
    """Radix-2 decimation in time: bit-reversed input, natural output (Cooley-Tukey)."""
    n = len(a)
    bits = n.bit_length() - 1
    a = [a[int(f"{i:0{bits}b}"[::-1], 2)] for i in range(n)] if bits else a
    half = 1
    while half < n:
        twiddles = powers(pow(omega, n // (2 * half), r), half)
        for start in range(0, n, 2 * half):
            for j in range(half):
                u, v = a[start + j], a[start + j + half] * twiddles[j] % r
                a[start + j] = (u + v) % r
                a[start + j + half] = (u - v) % r
        half *= 2
    return a


def evaluate(coefficients: list[int], x: int) -> int:
    """Value of a polynomial given by its coefficients (Horner)."""
    result = 0
    for c in reversed(coefficients):
        result = (result * x + c) % r
    return result


def divide_by_linear(coefficients: list[int], z: int) -> tuple[list[int], int]:
    """Quotient and remainder of p(X) / (X - z) (synthetic division); the remainder is p(z)."""
    quotient = []
    carry = 0
    for c in reversed(coefficients):
        quotient.append(carry)
        carry = (carry * z + c) % r
    return quotient[:0:-1], carry

"""The three operations that int64 alone does not have, each as plain Python and as LLVM i128.

The plain function is the definition and the twin: it runs wherever Python runs it. Inside a compiled
kernel numba replaces the call by the few instructions emitted below it. Integers only, so both give
the same bits on every machine.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

INT64_MAX = (1 << 63) - 1

_I1, _I64, _I128 = ir.IntType(1), ir.IntType(64), ir.IntType(128)


def mul_shift(a: int, b: int, n: int) -> int:
    """floor(a b / 2^n) of int64 a, b and 0 <= n <= 127; the caller knows that the result fits int64."""
    return (int(a) * int(b)) >> int(n)


def mul_round(a: int, b: int, n: int) -> int:
    """a b / 2^n, 1 <= n <= 126, to nearest, half away from zero; beyond +-(2^63 - 1) it stops there."""
    product = int(a) * int(b)
    size = min(INT64_MAX, (abs(product) + (1 << (int(n) - 1))) >> int(n))
    return -size if product < 0 else size


def leading_zeros(a: int) -> int:
    """Number of zero bits above the highest set bit of a non-negative int64 (64 for zero)."""
    return 64 - int(a).bit_length()


def _wide(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """The arguments as i128 values."""
    return [
        builder.sext(context.cast(builder, value, kind, types.int64), _I128)
        for value, kind in zip(args, signature.args, strict=True)
    ]


def _lower_mul_shift(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a, b, n = _wide(context, builder, signature, args)
    return builder.trunc(builder.ashr(builder.mul(a, b), n), _I64)


def _lower_mul_round(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a, b, n = _wide(context, builder, signature, args)
    zero, one, limit = (ir.Constant(_I128, value) for value in (0, 1, INT64_MAX))
    product = builder.mul(a, b)
    negative = builder.icmp_signed("<", product, zero)
    size = builder.select(negative, builder.neg(product), product)
    size = builder.ashr(builder.add(size, builder.shl(one, builder.sub(n, one))), n)
    size = builder.select(builder.icmp_signed(">", size, limit), limit, size)
    return builder.trunc(builder.select(negative, builder.neg(size), size), _I64)


def _lower_leading_zeros(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = context.cast(builder, args[0], signature.args[0], types.int64)
    return builder.ctlz(value, ir.Constant(_I1, 0))


def _register(function: Callable[..., int], lowering: Callable[..., Any], arity: int) -> None:
    """Tell numba that `function` takes `arity` integers, gives an int64, and is lowered by `lowering`."""

    def typing(_context: Any) -> Callable[..., Any]:
        def typer(a: Any, b: Any = types.int64, n: Any = types.int64) -> Any:
            return types.int64 if all(isinstance(t, types.Integer) for t in (a, b, n)) else None

        return typer

    lower: Any = lower_builtin  # numba leaves it untyped
    type_callable(function)(typing)
    lower(function, *(types.Integer,) * arity)(lowering)


for _function, _lowering, _arity in (
    (mul_shift, _lower_mul_shift, 3),
    (mul_round, _lower_mul_round, 3),
    (leading_zeros, _lower_leading_zeros, 1),
):
    _register(_function, _lowering, _arity)

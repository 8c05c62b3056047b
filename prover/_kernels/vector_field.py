"""Prime-field arithmetic on eight elements at a time, as LLVM functions that numba kernels call.

A *block* is uint64[limbs, 8]: eight field elements, limb j of lane l at [j, l], radix 2^52, in Montgomery form
x R mod p with R = 2^(52 limbs), always canonical (below p). A vector of elements is uint64[blocks, limbs, 8].

Each operation is one LLVM function on three block addresses, emitted once per module and never inlined: a kernel that
multiplies in twenty places compiles the product once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from zkmargin.prover._kernels.lowering import (
    I64,
    LANES,
    LIMB_BITS,
    LIMB_MASK,
    V64,
    Lowering,
    Value,
    lowering_for,
    splat,
)

Limbs = list[Value]
POINTER = ir.PointerType()


def limbs_of(value: int, limbs: int) -> list[int]:
    """Radix-2^52 digits, lowest first."""
    return [value >> (LIMB_BITS * j) & LIMB_MASK for j in range(limbs)]


def is_array_of(kind: Any, dtype: Any) -> bool:
    """Whether a numba type is a C-contiguous array of this dtype."""
    return isinstance(kind, types.Array) and kind.layout == "C" and kind.dtype == dtype


def element(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, position: int, size: int) -> Value:
    """Address of the element, ``size`` items long, whose array and index are arguments ``position`` and the next."""
    kind = signature.args[position]
    array = context.make_array(kind)(context, builder, args[position])
    offset = builder.mul(args[position + 1], I64(size))
    return builder.gep(builder.bitcast(array.data, POINTER), [offset], source_etype=context.get_data_type(kind.dtype))


def function_of(
    context: Any,
    builder: ir.IRBuilder,
    name: str,
    parameters: list[ir.Type],
    emit: Callable[..., None],
    result: ir.Type | None = None,
) -> ir.Function:
    """The LLVM function of this name in the builder's module; emitted with ``emit(builder, lowering, *arguments)``."""
    symbol = f"zkmargin_{name}"
    if symbol in builder.module.globals:
        return builder.module.globals[symbol]
    function = ir.Function(builder.module, ir.FunctionType(result or ir.VoidType(), parameters), symbol)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    inside = ir.IRBuilder(function.append_basic_block())
    emit(inside, lowering_for(inside, context.codegen().magic_tuple()[2]), *function.args)
    return function


class VectorField:
    """The operations of one prime field as numba intrinsics.

    ``mul(out, i, a, j, b, k)`` stores ``a[j] * b[k]`` in ``out[i]``; the arrays are C-contiguous
    uint64[blocks, limbs, 8] and the indices blocks; ``out[i]`` may be one of the operands. So do ``add`` and ``sub``;
    ``copy(out, i, a, j)`` stores ``a[j]`` in ``out[i]``.
    ``zero_lanes(a, i)`` is the bit mask of the lanes of ``a[i]`` that hold zero.

    Raises:
        ValueError: p leaves no spare bit in its limbs.
    """

    def __init__(self, name: str, p: int, limbs: int) -> None:
        if not 2 * p < 1 << (LIMB_BITS * limbs):
            raise ValueError("the lazy carries need 2 p < 2^(52 limbs)")
        self.name, self.p, self.limbs = name, p, limbs
        self.R = 1 << (LIMB_BITS * limbs)
        self.p_limbs = limbs_of(p, limbs)
        self.minus_p_inverse = -pow(p, -1, 1 << LIMB_BITS) & LIMB_MASK
        self.mul = self._operation("mul", self._product, 2)
        self.add = self._operation("add", self._sum, 2)
        self.sub = self._operation("sub", self.difference, 2)
        self.copy = self._operation("copy", lambda _builder, _lowering, x: x, 1)
        self.zero_lanes = self._zero_lanes()

    def _operation(self, name: str, body: Callable[..., Limbs], operands: int) -> Any:
        def emit(builder: ir.IRBuilder, lowering: Lowering, out: Value, *blocks: Value) -> None:
            self.store(builder, out, body(builder, lowering, *(self.load(builder, block) for block in blocks)))
            builder.ret_void()

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            size = self.limbs * LANES
            blocks = [element(context, builder, signature, args, k, size) for k in range(0, 2 * operands + 2, 2)]
            parameters = [POINTER] * len(blocks)
            builder.call(function_of(context, builder, f"{self.name}_{name}", parameters, emit), blocks)
            return context.get_dummy_value()

        def check(*arguments: Any) -> Any:
            if not all(is_array_of(array, types.uint64) for array in arguments[::2]):
                return None
            return types.void(*(types.intp if k % 2 else kind for k, kind in enumerate(arguments))), codegen

        def binary(typingctx: Any, out: Any, i: Any, a: Any, j: Any, b: Any, k: Any) -> Any:  # noqa: ARG001
            return check(out, i, a, j, b, k)

        def unary(typingctx: Any, out: Any, i: Any, a: Any, j: Any) -> Any:  # noqa: ARG001
            return check(out, i, a, j)

        return intrinsic(binary if operands == 2 else unary)

    def _zero_lanes(self) -> Any:
        def emit(builder: ir.IRBuilder, _lowering: Lowering, block: Value) -> None:
            merged, *others = self.load(builder, block)
            for limb in others:
                merged = builder.or_(merged, limb)
            mask = builder.bitcast(builder.icmp_unsigned("==", merged, splat(0)), ir.IntType(LANES))
            builder.ret(builder.zext(mask, I64))

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            block = element(context, builder, signature, args, 0, self.limbs * LANES)
            function = function_of(context, builder, f"{self.name}_zero_lanes", [POINTER], emit, I64)
            return builder.call(function, [block])

        def typed(typingctx: Any, a: Any, i: Any) -> Any:  # noqa: ARG001
            return (types.int64(a, types.intp), codegen) if is_array_of(a, types.uint64) else None

        return intrinsic(typed)

    def load(self, builder: ir.IRBuilder, block: Value) -> Limbs:
        """The limb vectors of the block at an address."""
        return [
            builder.load(builder.gep(block, [I64(j * LANES)], source_etype=I64), align=8, typ=V64)
            for j in range(self.limbs)
        ]

    def store(self, builder: ir.IRBuilder, block: Value, limbs: Limbs) -> None:
        """The inverse of ``load``."""
        for j, limb in enumerate(limbs):
            builder.store(limb, builder.gep(block, [I64(j * LANES)], source_etype=I64), align=8)

    def _product(self, b: ir.IRBuilder, lowering: Lowering, x: Limbs, y: Limbs) -> Limbs:
        """Montgomery's product x y / R, row by row; carries stay in the limbs until the end (below 2^60)."""
        n = self.limbs
        x_operands = [lowering.operand(limb) for limb in x]
        p_operands = [lowering.operand(splat(limb)) for limb in self.p_limbs]
        t: Limbs = [splat(0)] * (2 * n + 1)
        bias = [0] * (2 * n + 1)

        def add_row(row: int, operands: list[Value], factor: Value, first: int = 0) -> None:
            for j in range(first, n):
                k = row + j
                t[k], t[k + 1] = lowering.accumulate(t[k], t[k + 1], operands[j], factor)
                bias[k] += lowering.low_bias
                bias[k + 1] += lowering.high_bias

        add_row(0, x_operands, lowering.operand(y[0]))
        for i in range(n):
            if i + 1 < n:
                add_row(i + 1, x_operands, lowering.operand(y[i + 1]))
            total = self._minus(b, t[i], bias[i])
            # The multiple of p that clears limb i.
            factor = lowering.operand(lowering.low_product(total, self.minus_p_inverse))
            carry, t[i + 1] = lowering.clear(total, t[i + 1], factor, self.p_limbs[0])
            bias[i + 1] += lowering.high_bias
            add_row(i, p_operands, factor, first=1)
            t[i + 1] = b.add(t[i + 1], carry)
        t = [self._minus(b, t[k], bias[k]) for k in range(n, 2 * n)]
        # x y + m p < p^2 + R p, so the quotient is below 2 p, and nearly always below p: subtract only where it is not.
        result = self._carried(b, t)
        high = b.icmp_unsigned(">=", result[-1], splat(self.p_limbs[-1]))
        rare = b.icmp_unsigned("!=", b.bitcast(high, ir.IntType(LANES)), ir.IntType(LANES)(0))
        start = b.block
        with b.if_then(rare, likely=False):
            reduced = self._reduced(b, result)
            end = b.block
        merged = []
        for before, after in zip(result, reduced, strict=True):
            phi = b.phi(V64)
            phi.add_incoming(before, start)
            phi.add_incoming(after, end)
            merged.append(phi)
        return merged

    def _sum(self, b: ir.IRBuilder, _lowering: Lowering, x: Limbs, y: Limbs) -> Limbs:
        total = [b.add(u, v) for u, v in zip(x, y, strict=True)]
        return self._reduced(b, self._carried(b, total))

    def difference(self, b: ir.IRBuilder, _lowering: Lowering, x: Limbs, y: Limbs) -> Limbs:
        """x - y, plus p in the lanes where that is negative."""
        difference = self._carried(b, [b.sub(u, v) for u, v in zip(x, y, strict=True)], keep_sign=True)
        negative = b.ashr(difference[-1], splat(63))
        corrected = [b.add(limb, b.and_(negative, splat(p))) for limb, p in zip(difference, self.p_limbs, strict=True)]
        return self._carried(b, corrected)

    def _reduced(self, b: ir.IRBuilder, x: Limbs) -> Limbs:
        """x mod p for carried x below 2 p."""
        less = self._carried(b, [b.sub(u, splat(p)) for u, p in zip(x, self.p_limbs, strict=True)], keep_sign=True)
        negative = b.icmp_signed("<", less[-1], splat(0))
        return [b.select(negative, u, v) for u, v in zip(x, less, strict=True)]

    @staticmethod
    def _carried(b: ir.IRBuilder, x: Limbs, *, keep_sign: bool = False) -> Limbs:
        """Signed carries moved up until every limb is in [0, 2^52); the top limb may keep the sign of the whole."""
        result, carry = [], None
        for j, limb in enumerate(x):
            value = limb if carry is None else b.add(limb, carry)
            if j == len(x) - 1 and keep_sign:
                result.append(value)
            else:
                result.append(b.and_(value, splat(LIMB_MASK)))
                carry = b.ashr(value, splat(LIMB_BITS))
        return result

    @staticmethod
    def _minus(b: ir.IRBuilder, x: Value, constant: int) -> Value:
        return b.sub(x, splat(constant)) if constant % 2**64 else x

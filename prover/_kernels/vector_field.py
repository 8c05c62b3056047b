"""Prime-field arithmetic on eight elements at a time, as LLVM functions that numba kernels call.

A *block* is uint64[limbs, 8]: eight field elements, limb j of lane l at [j, l], radix 2^52, in Montgomery form
x R mod p with R = 2^(52 limbs), always canonical (below p). A vector of elements is uint64[blocks, limbs, 8].

Each operation is one LLVM function on block addresses, compiled once for all kernels, which call it by its symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from zkmargin.prover._kernels.ahead import intrinsic, share, types, with_parameters
from zkmargin.prover._kernels.kept import KEEPS
from zkmargin.prover._kernels.lowering import (
    I64,
    LANES,
    LIMB_BITS,
    LIMB_MASK,
    Lowering,
    Value,
    lanes_for,
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


def zero_mask(builder: ir.IRBuilder, limbs: Limbs) -> Value:
    """The mask of the lanes in which every limb is 0."""
    merged, *others = limbs
    for limb in others:
        merged = builder.or_(merged, limb)
    return builder.icmp_unsigned("==", merged, splat(0))


def function_of(
    context: Any,
    builder: ir.IRBuilder,
    name: str,
    parameters: list[ir.Type],
    emit: Callable[..., None],
    result: ir.Type | None = None,
    lanes: int = LANES,
) -> ir.Function:
    """The LLVM function of this name, declared in the builder's module. Its code is ``emit(builder, lowering,
    *arguments)``, the lowering for so many lanes: compiled once, in a module of its own, and called by its symbol.
    """
    symbol = f"zkmargin_{name}"
    if symbol in builder.module.globals:
        return builder.module.globals[symbol]

    def declared(module: ir.Module) -> ir.Function:
        function = ir.Function(module, ir.FunctionType(result or ir.VoidType(), parameters), symbol)
        function.attributes.add("nounwind")
        return function

    def define(module: ir.Module) -> ir.Function:
        function = declared(module)
        inside = ir.IRBuilder(function.append_basic_block())
        emit(inside, lowering_for(inside, context.codegen().magic_tuple()[2], lanes), *function.args)
        return function

    if KEEPS:
        share(context.codegen(), symbol, define)
        return declared(builder.module)
    function = define(builder.module)  # numba's own cache knows no symbols of others
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    return function


class VectorField:
    """The operations of one prime field as numba intrinsics.

    ``mul(out, i, a, j, b, k)`` stores ``a[j] * b[k]`` in ``out[i]``; the arrays are C-contiguous
    uint64[blocks, limbs, 8] and the indices blocks; ``out[i]`` may be one of the operands. So do ``add`` and ``sub``;
    ``square(out, i, a, j)`` stores ``a[j]^2`` in ``out[i]``, ``copy(out, i, a, j)`` stores ``a[j]``.
    ``zero_lanes(a, i)`` is the bit mask of the lanes of ``a[i]`` that hold zero.

    Cheaper, for what only a product or ``sub_lazy`` reads next, where 16 p fits the limbs (carries go up once):

    ``apart`` is ``a - b + p``, between 0 and 2 p and not reduced; ``modulus_lanes(a, i)`` are the lanes where it is p,
    so where a = b. ``lazy_sum`` is ``a + b`` without carries; ``sub_lazy(out, i, a, j, s, k)`` is ``a - s`` again in
    ``[0, p)`` for such a sum s of two elements.

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
        self.mul = self.operation("mul", self._product, 2)
        self.square = self.operation("square", self._square, 1)
        self.add = self.operation("add", self._sum, 2)
        self.sub = self.operation("sub", self.difference, 2)
        self.copy = self.operation("copy", lambda _lowering, x: x, 1)
        self.apart = self.operation("apart", self._apart, 2)
        self.lazy_sum = self.operation(
            "lazy_sum", lambda w, x, y: [w.b.add(u, v) for u, v in zip(x, y, strict=True)], 2
        )
        self.sub_lazy = self.operation("sub_lazy", self._difference_of_sum, 2)
        self.zero_lanes = self._lanes_of("zero_lanes", 0)
        self.modulus_lanes = self._lanes_of("modulus_lanes", p)

    def operation(self, name: str, body: Callable[..., Any], operands: int, outputs: int = 1) -> Any:
        """An intrinsic on pairs of an array and the index of a block in it: the outputs first, then the operands.

        ``body(lowering, *operands)`` gives the limbs of the output, or a list of them where there are several.
        """
        count = outputs + operands

        def emit(builder: ir.IRBuilder, lowering: Lowering, *blocks: Value) -> None:
            results = body(lowering, *(self.load(builder, block, lowering.lanes) for block in blocks[outputs:]))
            for block, limbs in zip(blocks[:outputs], [results] if outputs == 1 else results, strict=True):
                self.store(builder, block, limbs)
            builder.ret_void()

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            blocks = [element(context, builder, signature, args, 2 * k, self.limbs * LANES) for k in range(count)]
            lanes = lanes_for(context.codegen().magic_tuple()[2])
            function = function_of(context, builder, f"{self.name}_{name}", [POINTER] * count, emit, None, lanes)
            for first in range(0, LANES, lanes):  # a block is a whole number of registers wide
                parts = [builder.gep(block, [I64(first)], source_etype=I64) for block in blocks]
                builder.call(function, parts)
            return context.get_dummy_value()

        def typed(typingctx: Any, *arguments: Any) -> Any:  # noqa: ARG001
            if len(arguments) != 2 * count or not all(is_array_of(array, types.uint64) for array in arguments[::2]):
                return None
            return types.void(*(types.intp if k % 2 else kind for k, kind in enumerate(arguments))), codegen

        names = ["typingctx", *(f"{kind}{k}" for k in range(count) for kind in ("array", "block"))]
        return intrinsic(with_parameters(typed, names))

    def _lanes_of(self, name: str, value: int) -> Any:
        """The mask of the lanes that hold exactly this integer."""
        constants = limbs_of(value, self.limbs)

        def emit(builder: ir.IRBuilder, _lowering: Lowering, block: Value) -> None:
            limbs = self.load(builder, block)
            differences = [builder.xor(x, splat(c)) if c else x for x, c in zip(limbs, constants, strict=True)]
            mask = builder.bitcast(zero_mask(builder, differences), ir.IntType(LANES))
            builder.ret(builder.zext(mask, I64))

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            block = element(context, builder, signature, args, 0, self.limbs * LANES)
            function = function_of(context, builder, f"{self.name}_{name}", [POINTER], emit, I64)
            return builder.call(function, [block])

        def typed(typingctx: Any, a: Any, i: Any) -> Any:  # noqa: ARG001
            return (types.int64(a, types.intp), codegen) if is_array_of(a, types.uint64) else None

        return intrinsic(typed)

    def load(self, builder: ir.IRBuilder, block: Value, lanes: int = LANES) -> Limbs:
        """The limb vectors of the block at an address, or of its first lanes."""
        kind = ir.VectorType(I64, lanes)
        return [
            builder.load(builder.gep(block, [I64(j * LANES)], source_etype=I64), align=8, typ=kind)
            for j in range(self.limbs)
        ]

    def store(self, builder: ir.IRBuilder, block: Value, limbs: Limbs) -> None:
        """The inverse of ``load``."""
        for j, limb in enumerate(limbs):
            builder.store(limb, builder.gep(block, [I64(j * LANES)], source_etype=I64), align=8)

    def _product(self, w: Lowering, x: Limbs, y: Limbs) -> Limbs:
        """x y / R, canonical."""
        return self._once_reduced(w, self.product(w, x, y))

    def _square(self, w: Lowering, x: Limbs) -> Limbs:
        """x^2 / R, canonical."""
        return self._once_reduced(w, self.squared(w, x))

    def product(self, w: Lowering, x: Limbs, y: Limbs) -> Limbs:
        """Montgomery's product x y / R + (0 or p), row by row, where x y < R p; carries are left in its limbs."""
        n = self.limbs
        x_operands = [w.operand(limb) for limb in x]
        t: Limbs = [w.splat(0)] * (2 * n + 1)
        bias = [0] * (2 * n + 1)

        def add_row(row: int, operands: list[Value], factor: Value, first: int = 0) -> None:
            for j in range(first, n):
                k = row + j
                t[k], t[k + 1] = w.accumulate(t[k], t[k + 1], operands[j], factor)
                bias[k] += w.low_bias
                bias[k + 1] += w.high_bias

        add_row(0, x_operands, w.operand(y[0]))
        for i in range(n):
            if i + 1 < n:
                add_row(i + 1, x_operands, w.operand(y[i + 1]))
            self._clear_limb(w, t, bias, i)
        return [self._minus(w, t[k], bias[k]) for k in range(n, 2 * n)]

    def squared(self, w: Lowering, x: Limbs) -> Limbs:
        """``product`` of x by itself: the products of different limbs once, then doubled."""
        n = self.limbs
        operands = [w.operand(limb) for limb in x]
        t: Limbs = [w.splat(0)] * (2 * n + 1)
        bias = [0] * (2 * n + 1)

        def accumulate(i: int, j: int) -> None:
            k = i + j
            t[k], t[k + 1] = w.accumulate(t[k], t[k + 1], operands[i], operands[j])
            bias[k] += w.low_bias
            bias[k + 1] += w.high_bias

        for i in range(n):
            for j in range(i + 1, n):
                accumulate(i, j)
        for k in range(1, 2 * n - 1):
            t[k], bias[k] = w.b.add(t[k], t[k]), 2 * bias[k]
        for i in range(n):
            accumulate(i, i)
        for i in range(n):
            self._clear_limb(w, t, bias, i)
        return [self._minus(w, t[k], bias[k]) for k in range(n, 2 * n)]

    def _clear_limb(self, w: Lowering, t: Limbs, bias: list[int], i: int) -> None:
        """Add the multiple of p that clears limb i, and carry what is above it."""
        total = self._minus(w, t[i], bias[i])
        factor = w.operand(w.low_product(total, self.minus_p_inverse))
        carry, t[i + 1] = w.clear(total, t[i + 1], factor, self.p_limbs[0])
        bias[i + 1] += w.high_bias
        for j in range(1, self.limbs):
            operand = w.operand(w.splat(self.p_limbs[j]))
            t[i + j], t[i + j + 1] = w.accumulate(t[i + j], t[i + j + 1], operand, factor)
            bias[i + j] += w.low_bias
            bias[i + j + 1] += w.high_bias
        t[i + 1] = w.b.add(t[i + 1], carry)

    def _once_reduced(self, w: Lowering, t: Limbs) -> Limbs:
        """A product, carried, in [0, p)."""
        # x y + m p < p^2 + R p, so the quotient is below 2 p, and nearly always below p: subtract only where it is not.
        result = self.carried(w, t)
        high = w.b.icmp_unsigned(">=", result[-1], w.splat(self.p_limbs[-1]))
        return self._rarely(w, high, result, lambda: self._reduced(w, result))

    @staticmethod
    def _rarely(w: Lowering, lanes: Value, before: Limbs, other: Callable[[], Limbs]) -> Limbs:
        """``other()`` if any of the lanes is set, else the limbs as they are."""
        rare = w.b.icmp_unsigned("!=", w.b.bitcast(lanes, ir.IntType(w.lanes)), ir.IntType(w.lanes)(0))
        start = w.b.block
        with w.b.if_then(rare, likely=False):
            after = other()
            end = w.b.block
        merged = []
        for x, y in zip(before, after, strict=True):
            phi = w.b.phi(w.vector)
            phi.add_incoming(x, start)
            phi.add_incoming(y, end)
            merged.append(phi)
        return merged

    def _apart(self, w: Lowering, x: Limbs, y: Limbs) -> Limbs:
        """x - y + p, in (0, 2 p)."""
        return self.carried(w, [w.b.add(w.b.sub(u, v), w.splat(p)) for u, v, p in zip(x, y, self.p_limbs, strict=True)])

    def opposite(self, w: Lowering, x: Limbs) -> Limbs:
        """p - x for x in [0, p): p for 0."""
        return self.carried(w, [w.b.sub(w.splat(p), u) for u, p in zip(x, self.p_limbs, strict=True)])

    def _difference_of_sum(self, w: Lowering, x: Limbs, s: Limbs) -> Limbs:
        """x - s in [0, p) for x below p and s below 2 p, whose limbs need not be carried.

        The top limb says how often to add p, but for the rare -p: there it is added once more.
        """
        difference = self.carried(w, [w.b.sub(u, v) for u, v in zip(x, s, strict=True)], keep_sign=True)
        top = difference[-1]
        negative = w.b.ashr(top, w.splat(63))
        below = w.b.ashr(w.b.add(top, w.splat(self.p_limbs[-1] + 1)), w.splat(63))  # surely below -p
        limbs = []
        for limb, p in zip(difference, self.p_limbs, strict=True):
            once = w.b.add(limb, w.b.and_(negative, w.splat(p)))
            limbs.append(w.b.add(once, w.b.and_(below, w.splat(p))))
        result = self.carried(w, limbs, keep_sign=True)
        still = w.b.icmp_signed("<", result[-1], w.splat(0))

        def corrected() -> Limbs:
            sign = w.b.ashr(result[-1], w.splat(63))
            return self.carried(
                w, [w.b.add(limb, w.b.and_(sign, w.splat(p))) for limb, p in zip(result, self.p_limbs, strict=True)]
            )

        return self._rarely(w, still, result, corrected)

    def _sum(self, w: Lowering, x: Limbs, y: Limbs) -> Limbs:
        total = [w.b.add(u, v) for u, v in zip(x, y, strict=True)]
        return self._reduced(w, self.carried(w, total))

    def difference(self, w: Lowering, x: Limbs, y: Limbs) -> Limbs:
        """x - y, plus p in the lanes where that is negative."""
        difference = self.carried(w, [w.b.sub(u, v) for u, v in zip(x, y, strict=True)], keep_sign=True)
        negative = w.b.ashr(difference[-1], w.splat(63))
        corrected = [
            w.b.add(limb, w.b.and_(negative, w.splat(p))) for limb, p in zip(difference, self.p_limbs, strict=True)
        ]
        return self.carried(w, corrected)

    def _reduced(self, w: Lowering, x: Limbs) -> Limbs:
        """x mod p for carried x below 2 p."""
        less = self.carried(w, [w.b.sub(u, w.splat(p)) for u, p in zip(x, self.p_limbs, strict=True)], keep_sign=True)
        negative = w.b.icmp_signed("<", less[-1], w.splat(0))
        return [w.b.select(negative, u, v) for u, v in zip(x, less, strict=True)]

    @staticmethod
    def carried(w: Lowering, x: Limbs, *, keep_sign: bool = False) -> Limbs:
        """Signed carries moved up until every limb is in [0, 2^52); the top limb may keep the sign of the whole."""
        result, carry = [], None
        for j, limb in enumerate(x):
            value = limb if carry is None else w.b.add(limb, carry)
            if j == len(x) - 1 and keep_sign:
                result.append(value)
            else:
                result.append(w.b.and_(value, w.splat(LIMB_MASK)))
                carry = w.b.ashr(value, w.splat(LIMB_BITS))
        return result

    @staticmethod
    def _minus(w: Lowering, x: Value, constant: int) -> Value:
        return w.b.sub(x, w.splat(constant)) if constant % 2**64 else x

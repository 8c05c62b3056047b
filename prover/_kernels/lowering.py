"""Three ways to say "accumulate a 52-bit by 52-bit product" in LLVM vectors of 64-bit lanes.

Field elements are limbs of 52 bits, one lane each. All that the kernels need from the machine is

    low += lo,  high += hi      for some lo, hi with  x y = lo + 2^52 hi,  |lo|, |hi| < 2^54

The split need not be the exact one, because carries are propagated later and with sign. So every lowering below gives
the same field elements, bit for bit:

    ``Ifma``      AVX-512 IFMA has it as two instructions
    ``Fma``       double-precision fused multiply-add, whose rounding error is exact (Emmart, Zheng, Weems 2016)
    ``Integer``   26-bit halves; any CPU

A lowering works on as many lanes as one register has: eight, or four where there is no AVX-512, twice for a block. With
eight lanes in pairs of registers a product would need forty of them, of sixteen.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from zkmargin.prover._kernels.kept import cpu

LANES = 8
LIMB_BITS = 52
LIMB_MASK = (1 << LIMB_BITS) - 1

I64 = ir.IntType(64)
V64 = ir.VectorType(I64, LANES)
Value = Any  # llvmlite values carry no useful static type


def splat(value: int, lanes: int = LANES) -> ir.Constant:
    """The vector with the same 64-bit integer (mod 2^64) in each lane."""
    return ir.Constant(ir.VectorType(I64, lanes), [value & (2**64 - 1)] * lanes)


class Vectors:
    """Vectors of so many lanes, and the builder they are made with."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.b, self.lanes = builder, lanes
        self.vector = ir.VectorType(I64, lanes)

    def splat(self, value: int) -> ir.Constant:
        """The vector with the same 64-bit integer (mod 2^64) in each lane."""
        return splat(value, self.lanes)


class Ifma(Vectors):
    """vpmadd52luq / vpmadd52huq."""

    low_bias = high_bias = 0

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        super().__init__(builder, lanes)
        kind = ir.FunctionType(V64, [V64, V64, V64])
        self.lo, self.hi = (
            builder.module.declare_intrinsic(f"llvm.x86.avx512.vpmadd52{half}.uq.512", (), kind) for half in "lh"
        )

    def operand(self, x: Value) -> Value:
        """Prepare a limb in ``[0, 2^52)`` for ``accumulate``."""
        return x

    def accumulate(self, low: Value, high: Value, x: Value, y: Value) -> tuple[Value, Value]:
        """``(low + lo, high + hi)``, each too large by the class's constant bias."""
        return self.b.call(self.lo, [low, x, y]), self.b.call(self.hi, [high, x, y])

    def clear(self, low: Value, high: Value, x: Value, y: int) -> tuple[Value, Value]:
        """``accumulate`` for an odd y where 2^52 divides low + lo: (low + lo) / 2^52 without bias, and the new high.

        Here lo is 2^52 - (low mod 2^52), or both are 0: no need to wait for it.
        """
        carry = self.b.ashr(self.b.add(low, self.splat(LIMB_MASK)), self.splat(LIMB_BITS))
        return carry, self.b.call(self.hi, [high, x, self.splat(y)])

    def low_product(self, t: Value, y: int) -> Value:
        """``t y mod 2^52`` for any 64-bit t."""
        return self.b.call(self.lo, [self.splat(0), t, self.splat(y)])


class Integer(Vectors):
    """Schoolbook on 26-bit halves: x y = x0 y0 + 2^26 (x0 y1 + x1 y0) + 2^52 x1 y1."""

    low_bias = high_bias = 0

    def operand(self, x: Value) -> Value:
        """The two halves; the masks let LLVM use 32-bit multiplications."""
        b = self.b
        return b.and_(x, self.splat(2**26 - 1)), b.and_(b.lshr(x, self.splat(26)), self.splat(2**26 - 1))

    def accumulate(self, low: Value, high: Value, x: Value, y: Value) -> tuple[Value, Value]:
        """See ``Ifma.accumulate``."""
        b, (x0, x1), (y0, y1) = self.b, x, y
        middle = b.add(b.mul(x0, y1), b.mul(x1, y0))
        low = b.add(b.add(low, b.mul(x0, y0)), b.shl(b.and_(middle, self.splat(2**26 - 1)), self.splat(26)))
        return low, b.add(b.add(high, b.mul(x1, y1)), b.lshr(middle, self.splat(26)))

    def clear(self, low: Value, high: Value, x: Value, y: int) -> tuple[Value, Value]:
        """See ``Ifma.clear``."""
        low, high = self.accumulate(low, high, x, self.operand(self.splat(y)))
        return self.b.ashr(low, self.splat(LIMB_BITS)), high

    def low_product(self, t: Value, y: int) -> Value:
        """See ``Ifma.low_product``."""
        b, (t0, t1), y0, y1 = self.b, self.operand(t), self.splat(y % 2**26), self.splat(y >> 26)
        middle = b.add(b.mul(t0, y1), b.mul(t1, y0))
        return b.and_(
            b.add(b.mul(t0, y0), b.shl(b.and_(middle, self.splat(2**26 - 1)), self.splat(26))), self.splat(LIMB_MASK)
        )


class Fma(Vectors):
    """x y = hi + lo with hi = fl(x y) rounded to a multiple of 2^52 and lo = x y - hi, both exact doubles.

    Adding 2^104 before rounding leaves hi/2^52 in the low bits of the double's pattern, adding 1.5 * 2^52 leaves the
    signed lo there; the constant upper bits of both patterns are the biases. Holds in the default rounding mode.
    """

    low_bias = 0x4338 << 48  # bits of 1.5 * 2^52
    high_bias = 0x4670 << 48  # bits of 2^104

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        super().__init__(builder, lanes)
        kind = self.doubles = ir.VectorType(ir.DoubleType(), lanes)
        self.fma = builder.module.declare_intrinsic(f"llvm.fma.v{lanes}f64", (), ir.FunctionType(kind, [kind] * 3))

    def operand(self, x: Value) -> Value:
        """The limb as a double, by placing it below the exponent of 2^52."""
        placed = self.b.bitcast(self.b.or_(x, self.splat(0x4330 << 48)), self.doubles)
        return self.b.fsub(placed, self._constant(2.0**52))

    def accumulate(self, low: Value, high: Value, x: Value, y: Value) -> tuple[Value, Value]:
        """See ``Ifma.accumulate``."""
        b = self.b
        hi = b.call(self.fma, [x, y, self._constant(2.0**104)])
        # Two steps: 2^104 + 1.5 * 2^52 is not a double.
        rest = b.fadd(b.fsub(self._constant(2.0**104), hi), self._constant(1.5 * 2.0**52))
        lo = b.call(self.fma, [x, y, rest])
        return b.add(low, b.bitcast(lo, self.vector)), b.add(high, b.bitcast(hi, self.vector))

    def clear(self, low: Value, high: Value, x: Value, y: int) -> tuple[Value, Value]:
        """See ``Ifma.clear``. Here lo is -(low mod 2^52) if that is at least -2^51, else 2^52 more.

        The tie occurs for x = 2^51 only (y is odd), where hi = y/2 is rounded to even.
        """
        b = self.b
        hi = b.call(self.fma, [x, self._constant(float(y)), self._constant(2.0**104)])
        tie_goes_down = (y - 1) // 2 % 2 == 0
        carry = b.ashr(b.add(low, self.splat(2**51 if tie_goes_down else 2**51 - 1)), self.splat(LIMB_BITS))
        return carry, b.add(high, b.bitcast(hi, self.vector))

    def low_product(self, t: Value, y: int) -> Value:
        """See ``Ifma.low_product``."""
        return self.b.and_(self.b.mul(t, self.splat(y)), self.splat(LIMB_MASK))

    def _constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.doubles, [value] * self.lanes)


Lowering = Ifma | Integer | Fma


def lanes_for(features: str) -> int:
    """Lanes of one register, for a CPU by its LLVM feature string."""
    return LANES if "+avx512f" in features.split(",") else LANES // 2


def compiled_lanes() -> int:
    """``lanes_for`` the CPU that is compiled for."""
    return lanes_for(cpu()[1])


def lowering_for(builder: ir.IRBuilder, features: str, lanes: int = LANES) -> Lowering:
    """The fastest lowering for the CPU that numba compiles for (its LLVM feature string, part of numba's cache key)."""
    enabled = set(features.split(","))
    if {"+avx512f", "+avx512ifma"} <= enabled:
        return Ifma(builder, lanes)
    if {"+avx2", "+fma"} <= enabled or "+neon" in enabled:
        return Fma(builder, lanes)
    return Integer(builder, lanes)

"""The base field Fp of BLS12-381 in eight lanes, and the way of affine points between memory and lanes.

In memory a point is one *row*, uint64[16]: eight limbs of x, eight of y, in Montgomery form; infinity is a row of
zeros. No other point has y = 0: it would have order two, and the number of points of E(Fp) is odd. In lanes, eight
points are two blocks, x and y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from zkmargin.prover._kernels.ahead import intrinsic, types
from zkmargin.prover._kernels.lowering import I64, LANES, V64, Lowering, Value, splat
from zkmargin.prover._kernels.vector_field import (
    POINTER,
    Limbs,
    VectorField,
    element,
    function_of,
    is_array_of,
    zero_mask,
)

#: Order of the base field (draft-irtf-cfrg-pairing-friendly-curves).
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
LIMBS = 8
ROW = 2 * LIMBS
FIELD = VectorField("fp", P, LIMBS)

Rows = npt.NDArray[np.uint64]
Entries = npt.NDArray[np.int32]
_I32 = ir.IntType(32)


def _transposed(b: ir.IRBuilder, rows: Limbs) -> Limbs:
    """The 8 x 8 matrix of words transposed: swap off-diagonal squares of size 4, 2, 1."""
    for size in (4, 2, 1):
        low = [lane if not lane & size else lane - size + LANES for lane in range(LANES)]
        high = [lane + size if not lane & size else lane + LANES for lane in range(LANES)]
        for i in range(LANES):
            if not i & size:
                x, y = rows[i], rows[i + size]
                rows[i] = b.shuffle_vector(x, y, ir.Constant(ir.VectorType(_I32, LANES), low))
                rows[i + size] = b.shuffle_vector(x, y, ir.Constant(ir.VectorType(_I32, LANES), high))
    return rows


def _row(b: ir.IRBuilder, rows: Value, index: Value, half: int) -> Value:
    offset = b.add(b.mul(index, I64(ROW)), I64(half * LIMBS))
    return b.gep(rows, [offset], source_etype=I64)


def lanes_of_rows(b: ir.IRBuilder, rows: Value, entries: Value) -> tuple[Limbs, Limbs, Value]:
    """x and y of the eight points that entries name, and the mask of the lanes whose entry has sign 1."""
    wide = b.zext(b.load(entries, align=4, typ=ir.VectorType(_I32, LANES)), V64)
    indices = [b.lshr(b.extract_element(wide, _I32(lane)), I64(1)) for lane in range(LANES)]
    x, y = (
        _transposed(b, [b.load(_row(b, rows, index, half), align=8, typ=V64) for index in indices]) for half in (0, 1)
    )
    return x, y, b.icmp_unsigned("!=", b.and_(wide, splat(1)), splat(0))


def _emit_load(b: ir.IRBuilder, lowering: Lowering, out: Value, rows: Value, entries: Value) -> None:
    x, y, negative = lanes_of_rows(b, rows, entries)
    FIELD.store(b, out, x)
    high = b.gep(out, [I64(LIMBS * LANES)], source_etype=I64)
    FIELD.store(b, high, y)
    with b.if_then(b.icmp_unsigned("!=", b.bitcast(negative, ir.IntType(LANES)), ir.IntType(LANES)(0))):
        flipped = b.and_(negative, b.not_(zero_mask(b, y)))  # infinity stays y = 0
        FIELD.store(b, high, [b.select(flipped, u, v) for u, v in zip(FIELD.opposite(lowering, y), y, strict=True)])
    b.ret_void()


def _emit_store(b: ir.IRBuilder, _lowering: Lowering, rows: Value, targets: Value, points: Value) -> None:
    wide = b.zext(b.load(targets, align=4, typ=ir.VectorType(_I32, LANES)), V64)
    for half in (0, 1):
        block = b.gep(points, [I64(half * LIMBS * LANES)], source_etype=I64)
        for lane, row in enumerate(_transposed(b, FIELD.load(b, block))):
            b.store(row, _row(b, rows, b.extract_element(wide, _I32(lane)), half), align=8)
    b.ret_void()


def loading(name: str, emit: Callable[..., None], result: ir.Type | None = None) -> Any:
    """An intrinsic ``name(out, i, rows, entries, k)``: the eight points named by ``entries[k:k+8]`` into blocks i (x),
    i+1 (y). An entry is 2 row + sign: with sign 1 the point is negated. ``result`` is what ``emit`` returns, or none.
    """

    def typed(typingctx: Any, out: Any, i: Any, rows: Any, entries: Any, k: Any) -> Any:  # noqa: ARG001
        arrays = is_array_of(out, types.uint64) and is_array_of(rows, types.uint64)
        if not (arrays and is_array_of(entries, types.int32)):
            return None

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            target = element(context, builder, signature, args, 0, LIMBS * LANES)
            array = context.make_array(signature.args[2])(context, builder, args[2])
            source = element(context, builder, signature, args, 3, 1)
            function = function_of(context, builder, name, [POINTER] * 3, emit, result)
            returned = builder.call(function, [target, builder.bitcast(array.data, POINTER), source])
            return context.get_dummy_value() if result is None else returned

        kind = types.void if result is None else types.int64
        return kind(out, types.intp, rows, entries, types.intp), codegen

    return intrinsic(typed)


def _emit_prefetch(b: ir.IRBuilder, _lowering: Lowering, rows: Value, entries: Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [POINTER, _I32, _I32, _I32])
    prefetch = b.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
    for lane in range(LANES):
        entry = b.load(b.gep(entries, [I64(lane)], source_etype=_I32), align=4, typ=_I32)
        for half in (0, 1):
            address = _row(b, rows, b.lshr(b.zext(entry, I64), I64(1)), half)
            b.call(prefetch, [address, _I32(0), _I32(2), _I32(1)])  # for reading, into the second-level cache, data
    b.ret_void()


def _prefetch_points(typingctx: Any, rows: Any, entries: Any, k: Any) -> Any:  # noqa: ARG001
    """``prefetch_points(rows, entries, k)``: hint that ``load_points`` will ask for ``entries[k:k+8]``."""
    if not (is_array_of(rows, types.uint64) and is_array_of(entries, types.int32)):
        return None

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        source = element(context, builder, signature, args, 1, 1)
        function = function_of(context, builder, "prefetch_points", [POINTER] * 2, _emit_prefetch)
        builder.call(function, [builder.bitcast(array.data, POINTER), source])
        return context.get_dummy_value()

    return types.void(rows, entries, types.intp), codegen


def _store_points(typingctx: Any, rows: Any, targets: Any, k: Any, points: Any, i: Any) -> Any:  # noqa: ARG001
    """``store_points(rows, targets, k, points, i)``: the points in blocks i, i+1 to the rows ``targets[k:k+8]``."""
    if not (
        is_array_of(points, types.uint64) and is_array_of(rows, types.uint64) and is_array_of(targets, types.int32)
    ):
        return None

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = element(context, builder, signature, args, 1, 1)
        source = element(context, builder, signature, args, 3, LIMBS * LANES)
        function = function_of(context, builder, "store_points", [POINTER] * 3, _emit_store)
        builder.call(function, [builder.bitcast(array.data, POINTER), place, source])
        return context.get_dummy_value()

    return types.void(rows, targets, types.intp, points, types.intp), codegen


#: See ``loading``.
load_points: Any = loading("load_points", _emit_load)
prefetch_points: Any = intrinsic(_prefetch_points)
store_points: Any = intrinsic(_store_points)

"""How weight codes become bytes, and back: bit planes, nibbles or bytes of unsigned fields.

The kernels of `runtime/` compute ``Σ code · x = (Σ field · x << widen) − offset · Σ x``, with ``code = 2^widen ·
field − offset``. Each output channel is a row of whole bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import BIPOLAR, INT8, ODD2, ODD3, ODD4, TERNARY, DType

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Packing:
    """How the codes of one codebook are stored.

    Attributes:
        kernel: the C function that reads them.
        field_bits: bits of an unsigned field; up to 3 are stored as planes, 4 as nibbles, 8 as bytes.
        widen: left shift of a field within a code.
        offset: what is subtracted from it.
    """

    kernel: str
    field_bits: int
    widen: int
    offset: int

    def kernel_of(self, flip: int) -> str:
        """Return the kernel for bytes that are flipped, or not; the one for single bits comes in two forms."""
        return f"{self.kernel}_flipped" if flip and self.field_bits == 1 else self.kernel

    @property
    def planes(self) -> int:
        """Number of bit planes per row; 1 for nibbles and bytes."""
        return self.field_bits if self.field_bits < 4 else 1

    def row_bytes(self, inputs: int) -> int:
        """Bytes of one plane of one row of ``inputs`` codes."""
        return -(-inputs * self.field_bits // (self.planes * 8))

    def packed_bytes(self, rows: int, inputs: int) -> int:
        """Bytes of ``rows`` rows with all their planes."""
        return rows * self.planes * self.row_bytes(inputs)


PACKINGS = {
    BIPOLAR.name: Packing("bitq_bits", 1, 1, 1),
    TERNARY.name: Packing("bitq_planes", 2, 0, 1),
    ODD2.name: Packing("bitq_planes", 2, 1, 3),
    ODD3.name: Packing("bitq_planes", 3, 1, 7),
    ODD4.name: Packing("bitq_nibbles", 4, 1, 15),
    INT8.name: Packing("bitq_bytes", 8, 0, 128),
}


def pack(codes: Codes, dtype: DType) -> Bytes:
    """Pack rows of codes.

    Planes come highest first within a row; bit i of byte j belongs to input ``8 j + i``. Of two nibbles the low one
    comes first. Bits past the last input are 0.

    Args:
        codes: ``(rows, inputs)``, each in the codebook.
        dtype: the codebook.

    Returns:
        ``(rows, bytes)``.
    """
    packing = PACKINGS[dtype.name]
    fields = ((codes.astype(np.int16) + packing.offset) >> packing.widen).astype(np.uint8)
    if packing.field_bits == 8:
        return fields
    if packing.field_bits == 4:
        even = np.pad(fields, ((0, 0), (0, fields.shape[1] % 2)))
        return (even[:, ::2] | even[:, 1::2] << 4).astype(np.uint8)
    planes = [np.packbits(fields >> p & 1, axis=1, bitorder="little") for p in reversed(range(packing.planes))]
    return np.concatenate(planes, axis=1)


def unpack(packed: Bytes, dtype: DType, inputs: int) -> Codes:
    """Return the codes ``(rows, inputs)`` of packed rows; the inverse of `pack`."""
    packing = PACKINGS[dtype.name]
    if packing.field_bits == 8:
        fields = packed
    elif packing.field_bits == 4:
        fields = np.stack([packed & 15, packed >> 4], axis=2).reshape(len(packed), -1)[:, :inputs]
    else:
        planes = np.split(packed, packing.planes, axis=1)
        fields = np.zeros((len(packed), inputs), np.uint8)
        for plane in planes:
            fields = fields << 1 | np.unpackbits(plane, axis=1, count=inputs, bitorder="little")
    return ((fields.astype(np.int16) << packing.widen) - packing.offset).astype(np.int8)

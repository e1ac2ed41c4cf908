"""Keeps freed memory in the process, where every step of a training needs the same blocks again."""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_BLOCK, _KEPT = 2**25, 2**30  # bytes; a block may be no larger


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep up to a gigabyte of freed blocks for the next who ask, in this process from here on.

    By default it hands large ones back to the system at the end of each step, which gives them out anew at the next,
    page by page and filled with zeros.

    Returns:
        Whether the C library has such a setting; without one nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))

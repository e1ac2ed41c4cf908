"""What a training frees stays in the process: the next step finds its pages there."""

import ctypes
import resource
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, resource, sys
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "keep":
    from bitq.train.memory import keep_freed_memory
    assert keep_freed_memory()
def use():
    blocks = [libc.malloc(2**21) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 2**21)
    for block in reversed(blocks):
        libc.free(block)
for _ in range(3):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_blocks_that_are_freed_need_no_new_pages():
    def faults(how):
        done = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    pages = 8 * 2**21 // resource.getpagesize()
    assert faults("plain") > pages // 2
    assert faults("keep") < pages // 100

"""The allocator's thresholds are set by a trainer that wants them, and by nothing else."""

import subprocess
import sys

import pytest

from headctl.run.allocator import keep_large_blocks

FAULTS = """
import ctypes, resource, sys
from headctl.run.allocator import keep_large_blocks
if sys.argv[1] == "keep":
    assert keep_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 24 * 2**20
def once():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
for _ in range(3):
    once()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    once()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_large_blocks(), reason="not glibc")
def test_large_blocks_are_not_given_back_to_the_kernel():
    run = subprocess.run([sys.executable, "-c", FAULTS, "keep"], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 2000  # 20 times 24 MiB are 122,880 pages

"""Threads of a service share their heaps: memory does not grow with how many have once had large work."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: Threads that allocate at the same time, then the heaps that there are: regions of 64 MiB, at multiples of it.
SCRIPT = """
import ctypes, sys, threading
from zkmargin.service.server import share_heaps
if sys.argv[1] == "shared":
    share_heaps()
together = threading.Barrier(12)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def work():
    together.wait()
    for _ in range(200):
        libc.malloc(20_000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for one in threads: one.start()
for one in threads: one.join()
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if line.split()[1] == "rw-p"]
print(sum(start % (1 << 26) == 0 for start in starts))
"""


def heaps(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such heaps")
def test_threads_share_two_heaps() -> None:
    assert heaps("shared") <= 2
    assert heaps("own") > 4  # else this test sees nothing

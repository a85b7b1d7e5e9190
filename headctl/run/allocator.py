"""How the C library's allocator treats the temporaries of an update.

By default glibc gets every block of more than some hundred KiB from the kernel and gives it back at once, and the
kernel fills it with zeros page by page: a tenth of the time of an update on the CPU. Both thresholds are needed; one
alone is useless or harmful.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_KEPT = 2 * 10**9


def keep_large_blocks() -> bool:
    """Lets this process keep freed memory for its next blocks, up to 2 GB; returns whether the allocator obeyed.

    Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - musl has a mallopt too, which does nothing
        mallopt = library.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))

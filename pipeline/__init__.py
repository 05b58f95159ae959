"""pitpulse: where, when and how much an open-pit mine was active, from Sentinel-1 coherence."""

import os
import zlib
from pathlib import Path

__version__ = "0.1.0"


def _kernel_cache() -> None:
    """Give numba a cache folder of its own for this state of the sources.

    Numba looks only at the file of a kernel to see whether its compiled code is stale, not at the files of the
    kernels that it calls: an edited callee would go on running as it was. The folder's name is a checksum of all of
    them. Where no cache can be written numba keeps its own rules.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    stats = sorted((p.name, s.st_mtime_ns, s.st_size) for p in Path(__file__).parent.rglob("*.py") if (s := p.stat()))
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "pitpulse" / f"kernels-{zlib.crc32(repr(stats).encode()):08x}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(folder)


_kernel_cache()

"""Child process: what knowing a file or folder by its content takes. Arguments: the path, the digest cache's folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import content_of
from benchmarks.measure import tell


def main(path: Path, cache: Path) -> None:
    """Do what a run does with an input, and tell how long it takes and what was found."""
    start, cpu = time.perf_counter(), time.process_time()
    with DigestCache(cache) as digests:
        content = content_of(path, digests)
    tell(seconds=time.perf_counter() - start, cpu=time.process_time() - cpu, files=content.files, bytes=content.bytes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

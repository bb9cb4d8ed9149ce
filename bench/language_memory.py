"""Loads the models of some languages, forks workers that use them, and prints the memory of each as JSON.

A separate process, because loaded models are not freed: `python -m bench.language_memory en es`
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from router.language import detector as models

_WORKERS = 2
_TEXTS = 2000


def main(offered: Sequence[str]) -> None:
    """Load the models, fork the workers, and print their memory in MB."""
    before = _private()
    started = time.perf_counter()
    detector = models.load(models.needed(offered))
    seconds = time.perf_counter() - started
    loaded = _private() - before
    private = [_worker(detector, offered) for _ in range(_WORKERS)]
    sys.stdout.write(json.dumps({"loaded": loaded / 1e6, "seconds": seconds, "private": private}))


def _private() -> int:
    """Return this process's private memory (USS) in bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _worker(detector: models.Detector, offered: Sequence[str]) -> float:
    ours, theirs = os.pipe()
    if os.fork() == 0:
        before = _private()
        for number in range(_TEXTS):
            detector.likelihood("".join(chr(97 + number * step % 26) for step in (1, 3, 5, 7, 11, 17)), offered)
        os.write(theirs, str((_private() - before) / 1e6).encode())
        os._exit(0)
    os.wait()
    return float(os.read(ours, 64))


if __name__ == "__main__":
    main(sys.argv[1:])

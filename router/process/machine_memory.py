"""The memory limit of this process: the machine's memory, or the limit of its control group (container)."""

import os
from collections.abc import Iterator
from pathlib import Path


def memory_limit(root: Path = Path("/")) -> int:
    """Return the memory limit in bytes; `root` is the root directory.

    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, *_of_groups(root), machine)


def _of_groups(root: Path) -> Iterator[int]:
    """Read the limits of our control groups, and of their parents."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    mounted = root / "sys/fs/cgroup"
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, name = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.strip("/")
        # In a container the path may be the host's, of which only the root is mounted.
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                try:
                    yield int((folder / name).read_text(encoding="utf-8"))
                except (OSError, ValueError):  # "max": no limit
                    continue

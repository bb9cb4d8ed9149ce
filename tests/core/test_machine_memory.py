"""How much memory the router may use: the machine's, or a control group's limit."""

import os
from pathlib import Path

import pytest

from router.process.machine_memory import memory_limit

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MB = 2**20


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        pytest.param({}, MACHINE, id="no control groups"),
        pytest.param({"proc/self/cgroup": "0::/\n"}, MACHINE, id="no limit"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, MACHINE, id="max means no limit"
        ),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{64 * MB}\n"}, 64 * MB, id="v2"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a.slice/b.service\n",
                "sys/fs/cgroup/a.slice/memory.max": f"{64 * MB}\n",
                "sys/fs/cgroup/a.slice/b.service/memory.max": "max\n",
            },
            64 * MB,
            id="a group around ours",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "8:pids:/\n4:memory:/docker/1a2b\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{32 * MB}\n",
            },
            32 * MB,
            id="v1, in a container that knows the host's path",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            MACHINE,
            id="v1 without a limit",
        ),
    ],
)
def test_the_smallest_limit_counts(tmp_path: Path, files: dict[str, str], limit: int) -> None:
    """The memory limit is the smallest of the machine's memory and the limits of its control groups."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_limit(tmp_path) == limit

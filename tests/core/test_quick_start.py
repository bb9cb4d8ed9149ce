"""What a start imports: seconds of processor time before the first message, on a small machine."""

import subprocess
import sys

_IMPORTED = """
import sys
import {}
print(*sorted({{"asyncio", "flask", "gevent", "redis", "rich", "structlog", "twilio", "urllib3"}} & sys.modules.keys()))
"""


def _imported_with(module: str) -> list[str]:
    return subprocess.check_output([sys.executable, "-c", _IMPORTED.format(module)], text=True).split()


def test_the_parent_process_imports_little() -> None:
    """The process that stays as long as `router run` runs imports neither the store's client nor what prints tables."""
    assert _imported_with("router.cli.run.run") == []


def test_a_worker_imports_nothing_for_terminals() -> None:
    """What prints for people, a hundred modules, is not part of a process that serves, nor are other clients."""
    assert _imported_with("router.app") == ["asyncio", "flask", "gevent", "redis"]

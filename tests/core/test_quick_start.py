"""What a start imports: seconds of processor time before the first message, on a small machine."""

import subprocess
import sys

_IMPORTED = """
import sys
import {}
print(*sorted({} & sys.modules.keys()))
"""
_LARGE = {"asyncio", "flask", "gevent", "redis", "rich", "structlog", "twilio", "urllib3"}


def _imported_with(module: str, of: set[str] = _LARGE) -> list[str]:
    return subprocess.check_output([sys.executable, "-c", _IMPORTED.format(module, of)], text=True).split()


def test_the_parent_process_imports_little() -> None:
    """The process that stays as long as `router run` runs imports neither the store's client nor what prints tables."""
    assert _imported_with("router.cli.run.run") == []


def test_a_worker_imports_nothing_for_terminals() -> None:
    """What prints for people, a hundred modules, is not part of a process that serves, nor are other clients."""
    assert _imported_with("router.app") == ["asyncio", "flask", "gevent", "redis"]


def test_the_process_of_handlers_imports_no_client() -> None:
    """A handler is called when its process is there: what speaks HTTP would be a fifth of its start."""
    assert _imported_with("router.handling.child", {"flask", "gevent", "http.client", "redis"}) == ["gevent"]

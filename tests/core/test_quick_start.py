"""What a start imports: seconds of processor time before the first message, on a small machine."""

import subprocess
import sys

_IMPORTED = """
import sys
import router.cli.run.run
print(*sorted({"asyncio", "flask", "gevent", "redis", "rich", "twilio", "urllib3"} & sys.modules.keys()))
"""


def test_the_parent_process_imports_little() -> None:
    """The process that stays as long as `router run` runs imports neither the store's client nor what prints tables."""
    found = subprocess.check_output([sys.executable, "-c", _IMPORTED], text=True)
    assert found.split() == []

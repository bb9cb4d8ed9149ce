"""Stops a process that a command has started."""

import subprocess


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Send SIGTERM to a child, and SIGKILL if it has not ended within `seconds`."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

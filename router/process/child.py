"""Ending a process that a command has started."""

import subprocess


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask a child to stop, and end it when it does not within so many seconds."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""`python -m tests.e2e.forker FD`: imports what every gunicorn master imports, and forks masters as it is asked to.

Questions and answers are lines of JSON on a socket, whose descriptor is FD: `start` is answered with a process id, and
`wait` with the exit status of such a process, or null while it runs. It ends when the socket is closed.
"""

import json
import os
import socket
import sys
from typing import Any, TextIO

import gunicorn.arbiter
from gunicorn.app.wsgiapp import run

# What gunicorn_conf.py imports. That module itself is not imported here, because it reads the settings.
import router.handling.launch
import router.metric_files
import router.process.preload
import router.process.refused_reload
import router.process.renewal
import router.process.startup_check
import router.process.worker

# A worker imports this with the application. It does no I/O, so it makes no difference that gevent patches afterwards.
import router.routing.resolve

__all__ = ["gunicorn", "router"]


def _serve(connection: TextIO) -> None:
    """Answer questions until the connection is closed; in a process that was forked, return."""
    for line in connection:
        question = json.loads(line)
        answer: int | None
        if "start" in question:
            answer = os.fork()
            if not answer:
                _become(**question["start"])
                return
            os.setpgid(answer, answer)
        else:
            pid, status = os.waitpid(question["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        connection.write(json.dumps(answer) + "\n")
        connection.flush()
    sys.exit()


def _become(command: list[str], folder: str, environ: dict[str, Any], log: str) -> None:
    """Make this process as `subprocess.Popen` would have started it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)
    sys.argv = command
    sys.path[:1] = [folder, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as ours, ours.makefile("rw") as lines:
        _serve(lines)
    run()

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

# gunicorn_conf.py imports these; it is not imported itself, because it reads the settings. A worker imports diagnosis,
# flow, message and routing: they do no I/O, so it makes no difference that gevent patches afterwards.
import router.diagnosis.signature
import router.flow.warned
import router.handling.launch
import router.message.twiml
import router.metric_files
import router.process.preload
import router.process.refused_reload
import router.process.renewal
import router.process.startup_check
import router.process.worker
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

"""`python -P -m router.process …`: gunicorn, for `router run`, which may be started in any folder.

gunicorn puts the working directory first on the path, for the operator's handlers. By then `router` is imported: a
folder or file of that name there is not taken for ours.
"""

from gunicorn.app.wsgiapp import run

run(prog="gunicorn")

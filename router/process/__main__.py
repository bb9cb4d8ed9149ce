"""`python -P -m router.process …`: starts gunicorn, for `router run`, in any folder.

gunicorn puts the working directory first on the path, for the operator's handlers. By then `router` is imported, so a
folder or file of that name there is not imported instead of this package.
"""

from gunicorn.app.wsgiapp import run

run(prog="gunicorn")

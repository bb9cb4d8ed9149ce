"""`gunicorn -c config/gunicorn.conf.py wsgi:app`: the router's own configuration; settings added below override it."""

from router.process.gunicorn_conf import *

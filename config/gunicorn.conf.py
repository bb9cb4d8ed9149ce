"""`gunicorn -c config/gunicorn.conf.py wsgi:app`: the router's own configuration; what you set below it wins."""

from router.process.gunicorn_conf import *

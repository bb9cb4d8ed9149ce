"""The WSGI application: `gunicorn -c config/gunicorn.conf.py wsgi:app`."""

from router.app import create_app

app = create_app()

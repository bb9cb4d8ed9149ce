"""The life cycle of the processes: gunicorn's configuration, preloaded models, reload, and the embedded store.

This package does not handle messages. gunicorn executes `gunicorn_conf` before it forks the workers, and gevent patches
the workers only after the fork: the modules that `gunicorn_conf` imports must not import redis, urllib3 or ssl.
"""

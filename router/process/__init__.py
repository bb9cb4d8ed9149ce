"""How processes begin, share what is loaded, reload and end: gunicorn's configuration, workers' models, the store.

What a process does with a message is never decided here. gunicorn executes `gunicorn_conf` before it forks the workers,
and gevent patches them only after the fork: what it imports may not import redis, urllib3 or ssl.
"""

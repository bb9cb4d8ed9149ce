"""How processes begin, share memory, reload and end: workers' models, forked children, the embedded store.

What the router does with a message does not live here.
"""

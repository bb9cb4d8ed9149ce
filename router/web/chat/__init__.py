"""The visitor's side of web chat: its API, its pages and its files. What they mean is in `router.chat`."""

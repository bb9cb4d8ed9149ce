"""Web chat for visitors: the API, the pages and their files. The logic is in `router.chat`."""

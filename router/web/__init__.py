"""The HTTP layer. Only this package and `router.app` import Flask."""

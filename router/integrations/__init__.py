"""The only door out: one module for each place a message can go, each with one `send`."""

"""`router deliveries` and `router recover`: what happened to messages, and sending them again."""

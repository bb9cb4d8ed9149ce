"""`router deliveries` and `router recover`: show messages and their deliveries, and send messages again."""

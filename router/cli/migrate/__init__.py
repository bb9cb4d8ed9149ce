"""`router migrate`: moves the contacts of a flow to another flow, step by step, and back."""

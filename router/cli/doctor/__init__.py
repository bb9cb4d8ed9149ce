"""`router doctor`: checks the set-up, and explains refused signatures."""

"""`router doctor`: the set-up is checked, and refused signatures are explained."""

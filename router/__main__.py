"""`python -m router`: the command line, if the script `router` is not on the path."""

from router.cli import main

main(prog_name="router")

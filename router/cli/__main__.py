"""`python -m router.cli`: the commands, for a process that starts another one."""

from router.cli import main

main(prog_name="router")

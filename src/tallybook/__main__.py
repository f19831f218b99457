"""`python -m tallybook`."""

from tallybook.cli import main

main()

"""`python -m hutong` is `hutong`."""

from hutong.cli import main

main()

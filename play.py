"""Play a generated world: `python play.py`, the same as `worldsim play`."""

import sys

from worldsim.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["play", *sys.argv[1:]]))

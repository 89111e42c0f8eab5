"""The command line, as `python -m ntkseq`."""

import sys

from ntkseq.cli import main

if __name__ == "__main__":
    sys.exit(main())

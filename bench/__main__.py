"""``python -m bench VERB``: the same as ``bench VERB``."""

import sys

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main())

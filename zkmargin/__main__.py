"""``python -m zkmargin`` is the command line."""

import sys

from zkmargin.cli import main

sys.exit(main())

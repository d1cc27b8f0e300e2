"""`python -m rgz`: the same as the command `rgz`."""

import sys

from rgz.cli import main

sys.exit(main())

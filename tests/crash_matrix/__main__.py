"""``python -m tests.crash_matrix``."""

from tests.crash_matrix.cli import main

main()

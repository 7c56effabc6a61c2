"""``python -m mdrbench`` is the same as ``mdrbench``."""

from mdrbench.cli import main

main()

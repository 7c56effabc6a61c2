"""The command line."""

from mdrbench.cli.app import main

__all__ = ["main"]

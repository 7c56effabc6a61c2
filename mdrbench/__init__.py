"""mdrbench: a reproducible benchmark and leaderboard harness for multilingual dense retrieval."""

__version__ = "0.1.0"

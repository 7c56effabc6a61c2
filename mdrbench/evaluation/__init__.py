"""Measures and statistics: scores of topics, intervals, paired tests, corrections."""

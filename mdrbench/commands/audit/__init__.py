"""Can a number be believed: checks against earlier results, re-derivation, and runs handed in by others."""

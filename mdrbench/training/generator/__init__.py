"""Instruction tuning of the generator on your own machine."""

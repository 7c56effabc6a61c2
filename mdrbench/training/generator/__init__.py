"""Instruction tuning of the generator, on a machine of one's own."""

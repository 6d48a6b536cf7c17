"""Mutants: programs that are wrong in one way."""

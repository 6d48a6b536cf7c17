"""Families of generated program cases. What makes cases of them is imported by those who do: it takes a while."""

GENERATOR_VERSION = 2
"""Raised by every change after which a seed gives other cases."""
CATEGORIES = ("A", "B", "C", "D", "E")
"""Of families: discrimination, conditional logic, field access, iteration, multi-step workflows."""

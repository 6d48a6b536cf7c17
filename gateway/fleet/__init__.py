"""Engines as the HTTP process sees them: who may run now, on which child, and what happens when one dies."""

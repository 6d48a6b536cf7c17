"""Rewrites: programs that are right in other words."""

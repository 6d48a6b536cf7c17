"""What an evaluation measures apart from its trials, one phase a file."""

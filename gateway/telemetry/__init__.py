"""What an operator sees: every metric and the set-up of the log, each in one place."""

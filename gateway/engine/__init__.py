"""The child processes: an engine that decodes, and the jobs that prepare models. Spawned, never imported."""

"""Writes a scripted model where a test wants one that no other test has."""

from pathlib import Path


def write_scripted_model(directory: Path, script: str) -> Path:
    """Write `scripted.toml` with that text and return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "scripted.toml").write_text(script)
    return directory

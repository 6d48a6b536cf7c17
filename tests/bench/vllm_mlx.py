"""vllm-mlx in a virtual environment of its own: it pins other versions of mlx-lm than the gateway."""

import os
import subprocess
import sys
from pathlib import Path

VERSION = "0.6.0"
_INSTALL_TIMEOUT_S = 1800.0


class NotInstalledError(Exception):
    """vllm-mlx does not install on this machine; the text says why."""


def program() -> Path:
    """Return the program, installed at its first use. Raises NotInstalledError."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gateway-canary-bench"
    venv = root / f"vllm-mlx-{VERSION}"
    done = venv / "bin" / "vllm-mlx"
    failed = venv / "failed.txt"
    if failed.exists():
        raise NotInstalledError(failed.read_text())
    if done.exists():
        return done
    try:
        _run(sys.executable, "-m", "venv", str(venv))
        _run(str(venv / "bin" / "pip"), "install", "--quiet", *_mlx_extra(), f"vllm-mlx=={VERSION}")
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        reason = f"vllm-mlx {VERSION} does not install here: {said.strip().splitlines()[-1][:200]}"
        venv.mkdir(parents=True, exist_ok=True)
        failed.write_text(reason)
        raise NotInstalledError(reason) from error
    return done


def _mlx_extra() -> tuple[str, ...]:
    """Return what MLX needs beside it on a machine without Metal."""
    return ("mlx[cpu]",) if sys.platform == "linux" else ()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)

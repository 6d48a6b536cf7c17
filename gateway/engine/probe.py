"""`python -m gateway.engine.probe`: what an engine would run on, asked without loading a model."""

import sys
from importlib.metadata import version

from gateway.contracts.jobs import ProbeRequest
from gateway.engine import device
from gateway.engine.job import Report, run


def probe(_request: ProbeRequest, report: Report) -> dict[str, object]:
    report(0.0, "asking the device")
    about = device.describe()
    return {
        "device": about.name,
        "chip": about.chip,
        "recommended_working_set_bytes": about.recommended_working_set_bytes,
        "mlx": version("mlx"),
        "mlx_lm": version("mlx-lm"),
    }


if __name__ == "__main__":
    sys.exit(run(ProbeRequest, probe))

"""`python -m gateway.engine.limits`: set MLX's limits as an engine does, and read them back; no model."""

import sys

from gateway.contracts.jobs import LimitsRequest
from gateway.engine import device
from gateway.engine.job import Report, run


def read_back(request: LimitsRequest, report: Report) -> dict[str, object]:
    report(0.0, "setting the limits")
    device.set_limits(cache_limit_bytes=request.cache_limit_bytes, memory_limit_bytes=request.memory_limit_bytes)
    recommended = device.describe().recommended_working_set_bytes
    return {"recommended_working_set_bytes": recommended, **device.limits()}


if __name__ == "__main__":
    sys.exit(run(LimitsRequest, read_back))

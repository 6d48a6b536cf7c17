"""What a gateway is doing, in one answer for an operator."""

import os
import time

from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.status import DeploymentStatus, MemoryStatus, StatusView
from gateway.fleet.fleet import Fleet
from gateway.service import Gateway


def status_of(gateway: Gateway) -> StatusView:
    readiness, fleet = gateway.readiness(), gateway.fleet
    return StatusView(
        ready=readiness.ready,
        detail=readiness.detail,
        pid=os.getpid(),
        uptime_s=time.monotonic() - gateway.started_s,
        running=fleet.running_count,
        queued={each.value: fleet.waiting_count(each) for each in SchedulingClass},
        memory=memory_of(fleet),
        deployments=tuple(
            DeploymentStatus(
                model=deployment.model,
                incumbent=incumbent.reference,
                revision=deployment.revision,
                engine_digest=incumbent.engine.digest,
                problem=gateway.problem_of(incumbent.engine),
                on_demand=fleet.on_demand(incumbent.engine),
                changing=fleet.is_exchanged(incumbent.engine),
            )
            for deployment, incumbent in gateway.incumbents()
        ),
        engines=readiness.engines,
    )


def memory_of(fleet: Fleet) -> MemoryStatus:
    return MemoryStatus(
        limit_bytes=fleet.memory.machine.limit_bytes,
        reserve_bytes=fleet.memory.machine.reserve_bytes,
        planned_bytes=fleet.planned_bytes(),
        used_bytes=fleet.memory.used_bytes,
        available_bytes=fleet.available_bytes(),
        near_limit=fleet.memory.near_limit,
    )

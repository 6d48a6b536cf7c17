"""The machine that the engines run on: what makes two machines comparable, and what may change while one is judged."""

import msgspec

from gateway.contracts.digests import digest_of


class HostState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change during a run. None of what this machine does not tell."""

    power_source: str | None = None
    """`AC Power`, `Battery Power`, as the system calls it."""
    thermal_state: str | None = None
    """`nominal`, or what the system limits because it is hot."""
    swap_used_bytes: int | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /admin/host`: the machine as it is now."""

    chip: str
    memory_bytes: int
    limit_bytes: int
    """Working set that the engines may use together, as the gateway counts it."""
    os_version: str
    """Name and version: `macOS 15.5`."""
    state: HostState

    @property
    def digest(self) -> str:
        """Of what times and memory depend on and does not change by itself; a minor version of the system does."""
        return digest_of(
            {
                "chip": self.chip,
                "memory_bytes": self.memory_bytes,
                "limit_bytes": self.limit_bytes,
                "os_major": self.os_version.partition(".")[0],
            }
        )


class HostRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine at both ends of a run."""

    start: Host
    end: Host
    kept_awake_by: str | None = None
    """What kept the machine from sleeping; None where nothing did."""

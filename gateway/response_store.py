"""Responses that were answered, kept in memory to be read, and continued by `previous_response_id`."""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.responses import Item, Response
from gateway.errors import InvalidRequest, NotFound
from gateway.responses import response_of, said_item
from gateway.settings import ResponseSettings

_encoder = msgspec.json.Encoder()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    response: Response
    items: tuple[Item, ...]
    """All that it answered: of an earlier response what that had and said, then the request's own."""
    size_bytes: int
    kept_s: float


class _Share:
    """What is kept for one key."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        """By id, the one that was asked for last at the end."""
        self.size_bytes = 0

    @property
    def count(self) -> int:
        return len(self.kept)

    def add(self, kept: Kept) -> None:
        self.kept[kept.response.id] = kept
        self.size_bytes += kept.size_bytes

    def drop(self, response_id: str) -> None:
        self.size_bytes -= self.kept.pop(response_id).size_bytes

    def drop_oldest(self) -> None:
        self.drop(next(iter(self.kept)))


class ResponseStore:
    """Bounded by count, size and age. Of the key that has most, what was longest not asked for goes first.

    So who has no more than an even share loses nothing to the others. Each response holds its whole conversation, so
    that one may go without those that continue it. Their common items are held once and counted in each: the bound is
    kept with room to spare.
    """

    def __init__(self, settings: ResponseSettings, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now_s = now_s
        self._shares: dict[str | None, _Share] = {}
        """By the name of the key; None where the gateway has no keys."""

    @property
    def is_open(self) -> bool:
        return self._settings.max_count > 0

    def keep(self, owner: str | None, response: Response, items: Sequence[Item]) -> None:
        """Keep a response that has ended, and let others go for it. One larger than all that is kept is not."""
        size_bytes = len(_encoder.encode((response, items)))
        if size_bytes > self._settings.max_bytes or not self.is_open:
            return
        kept = Kept(response=response, items=tuple(items), size_bytes=size_bytes, kept_s=self._now_s())
        self._shares.setdefault(owner, _Share()).add(kept)
        self.expire()
        while sum(share.count for share in self._shares.values()) > self._settings.max_count:
            max(self._shares.values(), key=lambda share: share.count).drop_oldest()
        while sum(share.size_bytes for share in self._shares.values()) > self._settings.max_bytes:
            max(self._shares.values(), key=lambda share: share.size_bytes).drop_oldest()

    def find(self, owner: str | None, response_id: str) -> Kept:
        """Raises NotFound, also where it is another key's."""
        share = self._shares.get(owner)
        kept = share.kept.get(response_id) if share is not None else None
        if share is None or kept is None or self._is_old(kept):
            raise NotFound(f"This gateway has no response of that id. {self._why()}", param="response_id")
        share.kept.move_to_end(response_id)
        return kept

    def delete(self, owner: str | None, response_id: str) -> None:
        """Raises NotFound."""
        self.find(owner, response_id)
        self._shares[owner].drop(response_id)

    def conversation(self, owner: str | None, previous_response_id: str | None) -> tuple[Item, ...]:
        """Return what stands before a request that continues a response. Raises InvalidRequest where it is gone."""
        if previous_response_id is None:
            return ()
        try:
            kept = self.find(owner, previous_response_id)
        except NotFound:
            raise InvalidRequest(
                f"This gateway has no response of the id in `previous_response_id`. {self._why()} Send the whole "
                "conversation in `input` instead.",
                code=ErrorCode.PREVIOUS_RESPONSE_NOT_FOUND,
                param="previous_response_id",
            ) from None
        return (*kept.items, *map(said_item, kept.response.output))

    def resolved(self, owner: str | None, items: Sequence[Item]) -> tuple[Item, ...]:
        """Return the items, each reference replaced by what it refers to. Raises InvalidRequest where that is gone."""
        return tuple(
            self._said(owner, item.id or "", f"input[{index}].id") if item.type == "item_reference" else item
            for index, item in enumerate(items)
        )

    def expire(self) -> None:
        """Forget what is too old."""
        for owner, share in [*self._shares.items()]:
            for response_id in [one for one, kept in share.kept.items() if self._is_old(kept)]:
                share.drop(response_id)
            if not share.kept:
                del self._shares[owner]

    def _is_old(self, kept: Kept) -> bool:
        return kept.kept_s < self._now_s() - self._settings.max_age_s

    def _said(self, owner: str | None, item_id: str, path: str) -> Item:
        with contextlib.suppress(NotFound):
            for item in self.find(owner, response_of(item_id)).response.output:
                if item.id == item_id:
                    return said_item(item)
        raise InvalidRequest(
            f"`{path}` refers to no item that this gateway has. {self._why()} Send the item itself.", param=path
        )

    def _why(self) -> str:
        if not self.is_open:
            return "It keeps none: the setting responses.max_count is 0."
        settings = self._settings
        return (
            f"It keeps {settings.max_count} at most, for {settings.max_age_s:g} s at most, each for the key that asked "
            "for it, and none beyond its own end."
        )

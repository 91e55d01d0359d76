"""What one API worker decides with: the newest snapshot and configuration, swapped by reference.

`refresh` is called every half second, whenever somebody asks for the model, and when a commit is
refused because a newer configuration is in force. A snapshot that cannot be read is refused with a
log line and the one in use stays in use; only a worker that never had one is not ready. So is a
stored configuration, which then was written by another release: this worker, whose commits the
store turns away, abstains until it is replaced.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from engine.catalog import Catalog, parse_message
from engine.context import WARN_USE
from engine.errors import BadInput, ModelFormatError
from engine.learning import Priors
from engine.policy import Model
from engine.rationing import Rations
from engine.snapshot import Snapshot, from_bytes
from service.configuration.document import FILE, MESSAGE, PAUSE, Parts
from service.logs import logger
from service.store.protocol import Store, StoredConfiguration
from service.terms import Terms


class Live:
    """The model in use; `model` is None until the store was reached once.

    Where a configuration file is named (`needs_file`), it is None until one was taken up too: no
    rules are not the rules that somebody wrote.
    """

    def __init__(
        self,
        store: Store,
        arrange: Callable[[Parts], Terms],
        priors: Priors,
        *,
        needs_file: bool = False,
    ) -> None:
        self._store = store
        self._arrange = arrange
        self._priors = priors
        self._needs_file = needs_file
        self._unreadable: int | None = None
        self._refused: int | None = None
        self._one_at_a_time = asyncio.Lock()
        self._warned = False
        self.snapshot = Snapshot.cold((priors.click, priors.unsubscribe))
        self.catalog = Catalog()
        self.parts: Parts = {}
        self.terms = arrange(self.parts)
        self.model: Model | None = None
        self._prices: Mapping[str, float] = {}

    async def refresh(self) -> None:
        """Take up what is new; raises `StoreError`, and then what was in use stays in use."""
        async with self._one_at_a_time:
            await self._refresh()

    async def _refresh(self) -> None:
        await self._refresh_configuration()
        await self._refresh_snapshot()
        known = self.model
        if self._needs_file and FILE not in self.parts:
            return
        if (
            known is None
            or known.snapshot is not self.snapshot
            or known.catalog is not self.catalog
        ):
            self._make_model()

    def price(self, prices: Mapping[str, float]) -> None:
        """Take up the prices of budgets."""
        self._prices = prices
        if self.model is not None:
            self._make_model()

    def _make_model(self) -> None:
        terms = self.terms
        rations = Rations(
            self.catalog, terms.rules.budgets, terms.policy.send_cost, dict(self._prices)
        )
        self.model = Model(terms.policy, self.snapshot, self.catalog, rations)

    async def _refresh_configuration(self) -> None:
        version = await self._store.configuration_version()
        if version in (self.catalog.version, self._unreadable):
            return
        stored = await self._store.configuration()
        try:
            self._take_up(stored)
        except (BadInput, msgspec.DecodeError) as error:
            self._unreadable = stored.version
            logger().error("configuration refused", version=stored.version, error=str(error))

    def _take_up(self, stored: StoredConfiguration) -> None:
        """Terms are made anew only where more than messages changed: they hold what was learned."""
        terms = self.terms
        if _without_messages(stored.parts) != _without_messages(self.parts):
            terms = self._arrange(stored.parts)
        bodies = {
            name.removeprefix(MESSAGE): body
            for name, body in stored.parts.items()
            if name.startswith(MESSAGE)
        }
        messages = {name: parse_message(name, body) for name, body in sorted(bodies.items())}
        self.catalog = Catalog(stored.version, messages, PAUSE in stored.parts)
        self.terms, self.parts = terms, stored.parts

    async def _refresh_snapshot(self) -> None:
        version = await self._store.current_version()
        if version in (self.snapshot.version, self._refused):
            return
        blob = await self._store.load_model(version)
        if blob is None:  # already replaced by a newer one; the next refresh finds that
            return
        try:
            # A table of several megabytes: built beside the event loop, not on it.
            self.snapshot = await asyncio.to_thread(self._read, version, blob)
        except ModelFormatError as error:
            self._refused = version
            logger().error("model refused", version=version, error=str(error))
        self._warn_when_full()

    def _warn_when_full(self) -> None:
        used = self.snapshot.encoder.use
        if used >= WARN_USE and not self._warned:
            logger().warning(
                "the weight table fills up, so features begin to share weights; "
                "send fewer keys or coarser values",
                used=round(used, 3),
            )
        self._warned = used >= WARN_USE

    def _read(self, version: int, blob: bytes) -> Snapshot:
        return Snapshot(version, from_bytes(blob), (self._priors.click, self._priors.unsubscribe))


def _without_messages(parts: Parts) -> dict[str, bytes]:
    return {name: body for name, body in parts.items() if not name.startswith(MESSAGE)}

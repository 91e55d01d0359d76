"""What one API worker decides with: the newest snapshot and catalog, swapped by reference.

`refresh` is called every half second, whenever somebody asks for the model, and when a commit is
refused because a newer catalog is in force. A snapshot that
cannot be read is refused with a log line and the one in use stays in use; only a worker that never
had one is not ready.
"""

import asyncio
from collections.abc import Mapping

from engine.catalog import Catalog, parse_message
from engine.context import WARN_USE
from engine.errors import ModelFormatError
from engine.learning import Priors
from engine.policy import Model
from engine.rationing import Rations
from engine.snapshot import Snapshot, from_bytes
from service.logs import logger
from service.store.protocol import Store
from service.terms import Terms


class Live:
    """The model in use; `model` is None until the store was reached once."""

    def __init__(self, store: Store, terms: Terms, priors: Priors) -> None:
        self._store = store
        self._priors = priors
        self._refused: int | None = None
        self._one_at_a_time = asyncio.Lock()
        self._warned = False
        self.snapshot = Snapshot.cold((priors.click, priors.unsubscribe))
        self.catalog = Catalog()
        self.terms = terms
        self.model: Model | None = None
        self._prices: Mapping[str, float] = {}

    async def refresh(self) -> None:
        """Take up what is new; raises `StoreError`, and then what was in use stays in use."""
        async with self._one_at_a_time:
            await self._refresh()

    async def _refresh(self) -> None:
        await self._refresh_catalog()
        await self._refresh_snapshot()
        known = self.model
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

    async def _refresh_catalog(self) -> None:
        if await self._store.catalog_version() == self.catalog.version:
            return
        stored = await self._store.catalog()
        bodies = sorted(stored.messages.items())
        messages = {name: parse_message(name, body) for name, body in bodies}
        self.catalog = Catalog(stored.version, messages, stored.paused)

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

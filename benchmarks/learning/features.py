"""What a peer sees of a user: the same facts as our heads, as one row of numbers."""

import numpy as np

from engine.context import CLIP
from engine.worlds.population import Population
from engine.worlds.world import Batch, Column, Floats


class Features:
    """Columns: indicators of texts, booleans, numbers, burden straight and bent (as ours), 1."""

    def __init__(self, world: Population) -> None:
        self._texts = {
            key: sorted(set(column.tolist()))
            for key, column in world.lasting.items()
            if column.dtype.kind == "U"
        }
        self.size = self.rows(_nobody(world)).shape[1]

    def rows(self, batch: Batch) -> Floats:
        """(n, size)"""
        columns = [part for key in batch.context for part in self._encoded(key, batch.context[key])]
        burden = batch.burden
        columns += [burden / 4.0, np.log1p(burden), np.ones(len(burden))]
        return np.stack(columns, axis=1)

    def _encoded(self, key: str, column: Column) -> list[Floats]:
        if key in self._texts:
            return [(column == text).astype(float) for text in self._texts[key]]
        return [np.clip(column.astype(float), -CLIP, CLIP)]


def _nobody(world: Population) -> Batch:
    """An empty batch of this world."""
    none = np.zeros(0, dtype=np.int64)
    moment = np.zeros((0, len(world.moment_keys)))
    empty = np.zeros(0)
    context = world.context(none, moment)
    return Batch(0, 0.0, none, context, empty, empty, world.available(0), moment)

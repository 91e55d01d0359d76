"""What the learner reads of the store: lessons, and how far it has come with them."""

from dataclasses import dataclass

from engine.outcome import HeadName


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One lesson for the learner, self-contained: catalog edits cannot change its meaning.

    It names neither user nor decision, so it may outlive an erasure.
    """

    entry_id: str
    """Redis stream id, e.g. "1700000000000-0"; ordered within its shard."""
    order: str
    """Keyed pseudonym of its decision: where its lessons stand within a round."""
    head: HeadName
    label: int
    weight: float
    taught: float
    """Mass of negative slices taught for this head of this decision before this entry."""
    delay: float
    """Seconds from the decision to this entry's event or deadline."""
    first: bool
    """True for the first entry of its decision: its context has not been seen before."""
    teaching: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the learner has applied: positions and model are moved together or not at all."""

    version: int
    """Version of the model blob that contains exactly the entries up to `positions`."""
    positions: tuple[str, ...]
    """Last applied stream id of each shard, "0-0" before the first; SHARDS long."""
    cut: tuple[str, ...] | None
    """The round fixed but not yet applied: the ids to apply up to; None between rounds."""
    applied: int
    """Number of entries applied in all."""

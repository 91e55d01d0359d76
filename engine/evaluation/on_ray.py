"""The same kernels on Ray, for logs too large for one machine; extra `forbear[ray]`.

`compare_shards(shards, policies, spread=on_ray)` sends one task per shard and adds up the sums that
come back: the figures are those of one machine to rounding. A shard's reader runs where its task
does, so its file must be readable there.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from engine.errors import BadInput
from engine.evaluation.log import Log


def on_ray(function: Callable[[Log], Any], shards: Iterable[Log]) -> list[Any]:
    """Run `function` once for every shard on the Ray cluster that is connected, in order."""
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise BadInput("spreading over Ray needs it: install the extra forbear[ray]") from error
    task = ray.remote(_call)
    return list(ray.get([task.remote(function, shard) for shard in shards]))


def _call(function: Callable[[Log], Any], shard: Log) -> Any:
    return function(shard)

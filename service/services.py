"""What one API worker holds, and how a route gets at it."""

from dataclasses import dataclass

from starlette.requests import Request

from service.auth import Caller, KeyRing, Scope
from service.clock import Clock
from service.configuration.watched_file import WatchedFile
from service.deciding import Decider
from service.gathering import Gathering
from service.live import Live
from service.problems import Kind, Refused
from service.rationing import Rationing
from service.settings import Settings
from service.store.protocol import Store
from service.sweeping import Sweeper


@dataclass(slots=True)
class Services:
    """The parts of a running worker."""

    settings: Settings
    store: Store
    clock: Clock
    live: Live
    decider: Decider
    gathering: Gathering
    """For single questions; `decider` takes whole batches."""
    keys: KeyRing
    sweeper: Sweeper
    rationing: Rationing
    file: WatchedFile | None = None
    """The configuration file, where one is named."""
    draining: bool = False
    """Set when the worker is about to stop: it still answers but wants no new callers."""


def services(request: Request) -> Services:
    """The parts of the worker that got this request."""
    held: Services = request.app.state.services
    return held


async def authorize(request: Request, scope: Scope) -> Caller:
    """Whose request this is; raises `Refused` unless their key allows `scope`."""
    return await services(request).keys.caller(request.headers.get("authorization"), scope)


async def json_body(request: Request) -> bytes:
    """The body of a request that says it is JSON, or says nothing."""
    media_type = request.headers.get("content-type", "application/json")
    if media_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            f"The body was sent as {media_type[:80]!r}; expected JSON: "
            "send the header 'Content-Type: application/json'.",
        )
    return await request.body()

"""Around every request: its id, its time, one log line, and an answer when the code fails.

Plain ASGI for the reason given in `limits`. The route's template is logged and timed, never the
address. A request that went well is a debug line; what was refused is an info line.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import metrics
from service.clock import stopwatch
from service.logs import logger, new_request_id, request_id
from service.problems import Kind, Problem

_NO_ROUTE = "none"


class Observing:
    """Watches one request from arrival to answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = stopwatch()
        identity = new_request_id(_given_id(scope))
        token = request_id.set(identity)
        answer = _Answer(send, identity)
        try:
            await self._app(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 (the last stop: nothing may escape unanswered)
            logger().error("request failed", exc_info=error)
            await _failed(identity, answer, scope, receive)
        finally:
            _finish(scope, answer.status, stopwatch() - started)
            request_id.reset(token)


class _Answer:
    """Passes the answer on, remembers its status, adds the request's id."""

    __slots__ = ("_id_header", "_send", "status")

    def __init__(self, send: Send, identity: str) -> None:
        self._send = send
        self._id_header = (b"x-request-id", identity.encode())
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"].append(self._id_header)
        await self._send(message)


async def _failed(identity: str, answer: _Answer, scope: Scope, receive: Receive) -> None:
    if answer.status:
        return  # half an answer is out; the connection ends as it is
    problem = Problem(
        Kind.INTERNAL_ERROR,
        f"The service failed on this request, which is its fault; report the id {identity}.",
    )
    await problem.response()(scope, receive, answer)


def _finish(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", _NO_ROUTE)
    metrics.request(route, seconds)
    log = logger().info if status >= 400 else logger().debug
    log("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1e3, 2))


def _given_id(scope: Scope) -> str | None:
    return Request(scope).headers.get("x-request-id")

"""What a worker refuses before it looks: bodies too large, and too many requests at once.

Plain ASGI, because a middleware that wraps the request and response objects triples the cost of a
request. The size is checked against Content-Length, and counted again as the bytes arrive, since a
body sent in chunks names no length. Those who watch the worker always get through: a worker that is
busy is alive, and its numbers matter most then.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import RETRY_SOON, Kind, Problem, Refused

_WATCHING = ("/livez", "/readyz", "/metrics")


class Limits:
    """Passes requests on while they are small enough and few enough."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_requests: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_requests = max_requests
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._requests >= self._max_requests and scope["path"] not in _WATCHING:
            await self._too_many().response(RETRY_SOON)(scope, receive, send)
            return
        if _content_length(scope) > self._max_body_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        self._requests += 1
        try:
            await self._app(scope, self._counted(receive), send)
        finally:
            self._requests -= 1

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body_bytes:
                problem = self._too_large()
                raise Refused(problem.kind, problem.detail)
            return message

        return counting

    def _too_many(self) -> Problem:
        return Problem(
            Kind.TOO_MANY_REQUESTS,
            f"This worker is already answering {self._max_requests} requests, its limit; "
            "wait a moment and send the request again.",
        )

    def _too_large(self) -> Problem:
        return Problem(
            Kind.PAYLOAD_TOO_LARGE,
            f"The body is larger than {self._max_body_bytes} bytes, the limit; "
            "send it in smaller parts, or raise FORBEAR_MAX_BODY_BYTES.",
        )


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0

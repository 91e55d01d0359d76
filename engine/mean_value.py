"""What a click of a user is usually worth: a running mean of the values of his requests.

A request's own value is the gain of the decision it asks for; what losing the user costs, and one
more send, lies in decisions to come, and those are worth what his decisions usually are. So a click
that is worth ten times more today is seized, and is not feared ten times more too.

    m <- v at the first request,   m + (v - m) / 10 at every later one

Assumption: values drift slowly against ten requests. Limit: who asks often while little is at stake
has a low mean; it weighs requests, not time.
"""

REQUESTS = 10
"""The newest value weighs one in so many."""


def mean_value(before: float | None, value: float) -> float:
    """The mean after a request; `before` is None at the first."""
    return value if before is None else before + (value - before) / REQUESTS

"""Every error Forbear raises on purpose.

ForbearError
├── BadInput          what a caller gave cannot be used; the message says what was expected
├── ModelFormatError  a stored model cannot be read: wrong format, checksum or numbers
└── StoreError        state could not be read or written; nothing was half-done

The message of an error is one sentence for the person who will read it: what was given, what was
expected, what to do.
"""


class ForbearError(Exception):
    """The base of every error raised on purpose."""


class BadInput(ForbearError):
    """A value that a caller gave cannot be used."""


class ModelFormatError(ForbearError):
    """A stored model cannot be read; the one in use stays in use."""


class StoreError(ForbearError):
    """The store could not be reached or refused; nothing was acknowledged."""

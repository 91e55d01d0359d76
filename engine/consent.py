"""Consent by channel: on which channels a user may be messaged.

Everybody may be messaged everywhere until he leaves. Leaving or joining all channels is the new
rule, for channels still to come too; leaving or joining one is an exception to it.
"""

from dataclasses import dataclass
from typing import Final

from engine.errors import BadInput


@dataclass(frozen=True, slots=True)
class Consent:
    """One user's; compared when a decision is committed."""

    everywhere: bool = True
    """What holds for every channel that is no exception."""
    exceptions: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether no channel was left."""
        return self.everywhere and not self.exceptions

    @property
    def nowhere(self) -> bool:
        """Whether every channel was left."""
        return not self.everywhere and not self.exceptions

    def allows(self, channel: str) -> bool:
        """Whether the user may be messaged there."""
        return self.everywhere != (channel in self.exceptions)

    def changed(self, channel: str | None, *, allow: bool) -> "Consent":
        """After leaving or joining a channel; None: all of them."""
        if channel is None:
            return Consent(allow)
        if allow == self.everywhere:
            return Consent(self.everywhere, self.exceptions - {channel})
        return Consent(self.everywhere, self.exceptions | {channel})

    def __str__(self) -> str:
        """As stored: + or -, then the exceptions by blanks; nothing where no channel was left."""
        if self.whole:
            return ""
        return "+-"[not self.everywhere] + " ".join(sorted(self.exceptions))


def parse_consent(text: str) -> Consent:
    """A consent as stored."""
    if text[:1] not in ("", "+", "-"):
        raise BadInput(
            f"a stored consent is {text[:40]!r}; expected + or -, then channels: read it with the "
            "release that wrote it"
        )
    return Consent(text[:1] != "-", frozenset(text[1:].split()))


EVERYWHERE: Final = Consent()
NOWHERE: Final = Consent(everywhere=False)

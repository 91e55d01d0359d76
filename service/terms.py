"""What a deployment and its outreach team set for decisions; a change of it makes new terms."""

from dataclasses import dataclass, field

from engine.arms import Experiment
from engine.outcome import Windows
from engine.policy import Policy
from engine.rules import Rules


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a decision depends on besides what was learned, the catalog and the user."""

    policy: Policy = field(default_factory=Policy)
    value: float = 1.0
    """Worth of one click where a request names none."""
    rules: Rules = field(default_factory=Rules)
    windows: Windows = Windows()
    experiment: Experiment = field(default_factory=Experiment)
    """Which users are in which arm."""
    confirm_window: float = 86400.0
    """Seconds within which a deferred send must be confirmed."""
    timeout: float = 0.25
    """Seconds after which a single answer is the fallback; a batch gets as much per 100 items."""

"""Offline evaluation: what a policy would have earned, from a log another policy wrote."""

"""Forbear's service: the engine behind HTTP, with its state in Redis."""

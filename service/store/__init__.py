"""Where state lives: one protocol, a real Redis behind it, and an in-memory twin for unit tests."""

"""The HTTP routes: thin; each parses, asks the part that knows, and shapes the answer."""

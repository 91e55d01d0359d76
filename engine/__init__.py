"""The engine decides, learns and prices patience: no clock, no network, no hidden randomness."""

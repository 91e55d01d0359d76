"""Simulated populations with known truth."""

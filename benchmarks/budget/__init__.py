"""Budgets of sends: at a price, or first come, first served."""

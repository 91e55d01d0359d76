"""Simulated populations with known truth: what a policy can be held against.

Each world is a file whose docstring says what it checks. `world.py` is the contract,
`population.py` and `recipe.py` make the worlds, `simulation.py` runs a policy in one,
`optimum.py` solves one exactly, `policies.py` holds reference policies that know the truth.
"""

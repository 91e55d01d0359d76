"""Learning policies in simulated populations, held against the exact optimum."""

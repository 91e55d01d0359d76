"""A budget of a tenth of the users per day: slots at a price are worth more, with one learner."""

from benchmarks.budget.study import BASE, run

SIZE = (150, 40)


def test_slots_at_a_price_are_worth_more_than_first_come_first_served() -> None:
    """Two populations whose clicks differ in worth. Seen: 1.25 and 1.34 times."""
    for seed in (0, 1):
        priced, used = run("budget, values differ", "priced", seed, SIZE)
        plain, _ = run("budget, values differ", BASE, seed, SIZE)
        assert priced > 1.1 * plain
        assert used >= 0.85 * 15 * 40

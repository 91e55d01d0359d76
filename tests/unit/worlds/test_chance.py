"""Every chance event has its own number, whatever else happens."""

import numpy as np

from engine.worlds.chance import Kind, normals, uniforms

USERS = np.arange(20_000)


def test_a_number_depends_on_its_key_alone() -> None:
    together = uniforms(3, USERS, 17, Kind.CLICK)
    alone = uniforms(3, np.array([4711]), 17, Kind.CLICK)
    assert together[4711] == alone[0]


def test_each_part_of_the_key_matters() -> None:
    base = uniforms(3, USERS, 17, Kind.CLICK)
    for other in (
        uniforms(4, USERS, 17, Kind.CLICK),
        uniforms(3, USERS + 1, 17, Kind.CLICK),
        uniforms(3, USERS, 18, Kind.CLICK),
        uniforms(3, USERS, 17, Kind.UNSUBSCRIBE),
    ):
        assert not np.any(base == other)
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.03


def test_numbers_are_uniform_over_users_and_over_steps() -> None:
    """Standard error of a mean of 20,000: 0.289 / 141 = 0.002; of the tenths' shares 0.002."""
    over_users = uniforms(0, USERS, 5, Kind.CLICK)
    over_steps = np.array([uniforms(0, USERS[:1], step, Kind.CLICK)[0] for step in range(20_000)])
    for drawn in (over_users, over_steps):
        assert 0.0 < drawn.min()
        assert drawn.max() < 1.0
        assert abs(drawn.mean() - 0.5) < 0.01
        shares = np.histogram(drawn, bins=10, range=(0.0, 1.0))[0] / len(drawn)
        assert np.abs(shares - 0.1).max() < 0.01


def test_normals_have_mean_zero_and_variance_one() -> None:
    drawn = normals(0, USERS, 5, Kind.MOMENT)
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.var() - 1.0) < 0.05


def test_rare_chances_come_as_often_as_they_should() -> None:
    """A chance of 0.001 over 2,000,000 numbers: 2,000 times, five standard deviations are 224."""
    hits = sum(int((uniforms(9, USERS, s, Kind.UNSUBSCRIBE) < 0.001).sum()) for s in range(100))
    assert abs(hits - 2000) < 224

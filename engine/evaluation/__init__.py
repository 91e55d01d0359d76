"""Offline evaluation: what a policy would have earned, from a log another policy wrote.

Where to look. Whether to trust a number: `diagnostics`, `calibration`. The number: `estimators`
(formulas on arrays), `sums` and `estimates` (the same, streamed). How sure: `intervals`,
`vw_intervals`, `anytime`, `bootstrap`. Which policies: `policies`, `specs`, `best_single`. Run it:
`compare` (over `passes`, `totals`, `scoring`), `on_ray`. Let it through: `gate`. Show it: `report`,
`plots`, `abstention`, `sensitivity`. A policy that learns: `learning_replay`. Arms against each
other, without any weights: `by_arm`. Logs: `log`, `readers`.
"""

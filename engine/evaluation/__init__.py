"""Offline evaluation: what a policy would have earned, from a log another policy wrote.

Where to look: "should we trust +3%" `diagnostics`, `calibration`; "what is the number" `estimators`
(the formulas on arrays), `sums` and `estimates` (the same, streamed); "how sure" `intervals`,
`vw_intervals`, `anytime`, `bootstrap`; "which policies" `policies`, `specs`, `best_single`; "run it"
`compare` (over `passes`, `totals`, `scoring`), `on_ray`; "let it through" `gate`; "show it" `report`,
`plots`, `abstention`, `sensitivity`; "a policy that learns" `learning_replay`; "read a log" `readers/`.
"""

"""Worlds x policies: what learning earns in populations whose truth is known.

`arenas.py` sets the worlds' sizes; `two_heads.py`, `duolingo.py`, `vw.py` and `peers.py` hold one
family of policies each, `ours.py` our own; `contestants.py` names them and says what is tuned;
`contest.py` tunes and runs, row by row into a CSV (`rationed.py`: where sends are rationed);
`reporting.py` makes the table and the plots.
"""

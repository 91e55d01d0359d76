"""The two heads by themselves: progressive log loss, bias at rare events, calibration.

`streams.py` makes the sends that all learners see, `learners.py` the learners, `rare.py` watches a
head over millions of rows, `__main__.py` runs and reports.
"""

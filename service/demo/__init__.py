"""`forbear demo`: the whole service at work on people whose truth is known, or on a real log."""

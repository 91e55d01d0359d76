"""Readers: one file per source, all giving a `Log`. None of the data is bundled."""

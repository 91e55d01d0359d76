"""What each world is worth to policies that know the truth."""

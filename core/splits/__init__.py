"""Which pages train, validate and test."""

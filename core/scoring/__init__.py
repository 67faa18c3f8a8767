"""Scores at patch, line and page level, their intervals and tests, and their pictures."""

"""Measurements of speed, cost and difficulty; `make bench` runs the short ones."""

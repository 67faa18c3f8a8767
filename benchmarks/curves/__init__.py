"""Recorded learning curves: how each point of a space trains, epoch by epoch, and a surrogate of
them.

The tables lie here as CSV files, one a corpus; `python -m benchmarks.curves` records them, and
`python -m benchmarks.race` replays sweeps on them.
"""

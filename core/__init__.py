"""Handwriting, patches and networks; knows nothing of sweeps."""

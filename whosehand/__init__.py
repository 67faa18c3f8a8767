"""Whose hand wrote this? Sweeps of patch CNNs that tell writers apart by their handwriting."""

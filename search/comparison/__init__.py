"""Sweeps side by side, and what one of them found."""

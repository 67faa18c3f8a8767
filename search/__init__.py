"""Sweeps: experiment files, engines, workers, tracking, the registry and the command line."""

"""The Optuna engine."""

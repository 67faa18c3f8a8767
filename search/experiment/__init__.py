"""The experiment file and all its settings."""

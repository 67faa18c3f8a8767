"""Saved models, and whose hand they see on new images."""

"""The record in MLflow: runs, models, the pages of its own."""

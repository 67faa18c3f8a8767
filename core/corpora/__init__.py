"""Corpus layouts, one file each."""

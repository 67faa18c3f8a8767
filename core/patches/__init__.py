"""Patches: where they are cut, how they are sampled and augmented, the feed of batches."""

"""What a trial does: the patch CNN, and a cheap function for tests."""

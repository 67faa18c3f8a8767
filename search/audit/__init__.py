"""What leakage is worth: one recipe under several divisions of the same pages."""

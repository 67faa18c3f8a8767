"""Names of layers that other parts than the network itself look for."""

LOGITS_LAYER = "logits"
"""The last layer with weights: its outputs are log probabilities up to a constant of each patch."""

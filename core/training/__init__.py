"""Training a network: the plan, the fit, the checkpoints."""

"""The sweep: preparation, launch, the loop, budgets, progress."""

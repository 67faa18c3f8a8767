"""Networks: their hyperparameters, the model builder, inference and embedding."""

"""The KerasTuner engine."""

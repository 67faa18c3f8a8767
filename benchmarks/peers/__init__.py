"""What a user would write without whosehand: killed and started again (`killed`), and raced
(`race`).
"""

EPOCHS_LOG = "epochs.jsonl"
"""Where a peer's script says what each epoch gave."""

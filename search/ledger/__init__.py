"""The ledger of a sweep: its trials, events, state, lock and files."""

"""Text lines: where they lie, the store that keeps their pixels, and how they are read into it."""

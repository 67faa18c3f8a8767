"""From an image to ranked writers: what a model carries with it, wherever it is loaded."""

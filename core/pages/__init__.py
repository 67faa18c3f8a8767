"""From an image file to the text lines on it."""

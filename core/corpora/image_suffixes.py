"""Which files are taken for images."""

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""In lower case; what cannot be decoded after all is set aside when it is read."""

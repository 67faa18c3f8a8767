"""`whosehand doctor`: one check a file, all of them listed in `examination`."""

"""Builds a store as a user who may not read everything; root, who may, becomes nobody first.

python -m tests.core.build_as_nobody ROOT CACHE_DIR
"""

import os
import sys
from pathlib import Path

import PIL.Image

from core.corpora.folder import FolderCorpus, FolderSettings
from core.ink import InkSettings
from core.linestore import build_line_store
from core.quarantine import take_census

if __name__ == "__main__":
    root, cache_dir = map(Path, sys.argv[1:])
    PIL.Image.init()  # imports its plugins while that is still allowed
    if os.geteuid() == 0:
        cache_dir.chmod(0o777)
        for folder in (root, *root.parents):  # pytest's own folders are for its user alone
            if folder.stat().st_uid == 0 and "pytest" in str(folder):
                folder.chmod(0o755)
        os.setegid(65534)
        os.seteuid(65534)
    index = FolderCorpus(FolderSettings(root=root)).index()
    census = take_census(index, build_line_store(index, InkSettings(height_px=40), cache_dir))
    print(f"{census.n_found} = {census.n_used} + {census.n_left_out} + {census.n_quarantined}")
    for entry in census.quarantined:
        print(entry.path, entry.reason)

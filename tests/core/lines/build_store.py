"""A process that builds a line store of a folder of scans, for tests that kill, hinder or crowd it.

python -m tests.core.lines.build_store ROOT CACHE_DIR [--pause S] [--limit BYTES] [--as-nobody]

It prints `read N of M` as it goes on, then the counts of the corpus report and a line for each
unusable image.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

import PIL.Image

from core.corpora.corpus_report import report_corpus
from core.corpora.folder import FolderCorpus
from core.corpora.settings import FolderSettings
from core.errors import WhosehandError
from core.lines.store import build_line_store
from core.settings import InkSettings


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("root", type=Path)
    options.add_argument("cache_dir", type=Path)
    options.add_argument("--pause", type=float, default=0.0, help="seconds after each image")
    options.add_argument("--limit", type=int, help="no file may grow beyond so many bytes, as on a full disk")
    options.add_argument("--as-nobody", action="store_true", help="root, who may read everything, is nobody")
    chosen = options.parse_args()
    if chosen.as_nobody and os.geteuid() == 0:
        _become_nobody(chosen.root, chosen.cache_dir)
    if chosen.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (chosen.limit, chosen.limit))

    def tell(n_done: int, n_images: int) -> None:
        print(f"read {n_done} of {n_images}", flush=True)
        time.sleep(chosen.pause)

    index = FolderCorpus(FolderSettings(root=chosen.root)).index()
    store = build_line_store(index, InkSettings(height_px=40), chosen.cache_dir, tell)
    corpus_report = report_corpus(index, {line.image_id for line in store.lines}, store.unusable)
    print(
        f"{corpus_report.n_found} = {corpus_report.n_used} + {corpus_report.n_not_chosen} + {corpus_report.n_unusable}"
    )
    for entry in corpus_report.unusable:
        print(entry.path, entry.reason)


def _become_nobody(root: Path, cache_dir: Path) -> None:
    PIL.Image.init()  # imports its plugins while that is still allowed
    cache_dir.chmod(0o777)
    for folder in (root, *root.parents):  # pytest's own folders are for its user alone
        if folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(0o755)
    os.setegid(65534)
    os.seteuid(65534)


if __name__ == "__main__":
    try:
        main()
    except WhosehandError as error:
        print(error, file=sys.stderr)
        sys.exit(1)

"""Small scans that cost next to nothing to read."""

from pathlib import Path

from PIL import Image

from core.corpora.index import CorpusIndex


def write_small_scans(index: CorpusIndex, root: Path) -> Path:
    """Write twelve small images of real length of text by three writers, `<writer>/<page>.png`.

    Args:
        index: of `hands`, 3 writers x 4 pages x 4 lines.
        root: where to.
    """
    for image in index.images[::4]:
        assert image.region is not None
        (root / image.writer_id).mkdir(parents=True, exist_ok=True)
        left, top = image.region.left, image.region.top
        with Image.open(image.path) as page:
            word = page.crop((left, top, left + 300, top + image.region.height))
        word.save(root / image.writer_id / image.path.name)
    return root


def multiply(root: Path, n_copies: int) -> int:
    """Add copies of each scan, no two of them with the same content; returns how many scans there
    are then.
    """
    scans = sorted(root.rglob("*.png"))
    for scan in scans:
        for number in range(n_copies):
            content = scan.read_bytes() + f"{scan.name} {number}".encode()  # what follows a picture's end is not read
            scan.with_name(f"{scan.stem}-copy{number}.png").write_bytes(content)
    return len(scans) * (1 + n_copies)

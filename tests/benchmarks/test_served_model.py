import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.served_flood import flood_server, hostile_images
from benchmarks.served_model import ask, others_in_the_way, serve
from core.identification.writer_identifier import WriterIdentifier
from core.pages.image_files import read_grey
from search.objectives.saved_model import network_file
from search.promotion.examination import TOLERANCE
from tests.search.toy_model import save_toy_identifier, write_line


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_served_model_answers_as_here_and_refuses_what_is_no_image(tmp_path: Path) -> None:
    model, page = save_toy_identifier(tmp_path / "toy"), write_line(tmp_path / "line.png")
    network = network_file(tmp_path / "toy" / "network")
    here = WriterIdentifier.load(network, model / "artifacts").identify(read_grey(page), "line")
    with serve(model, Path(sys.executable), others_in_the_way(tmp_path)) as server:
        status, answer = ask(server.url, page.read_bytes(), top=0)
        assert status == 200, answer
        (row,) = answer["predictions"]
        served = {writer["writer_id"]: writer["probability"] for writer in row["ranking"]}
        expected = {writer.writer_id: writer.probability for writer in here.ranking}
        assert served.keys() == expected.keys()
        np.testing.assert_allclose([served[k] for k in expected], list(expected.values()), atol=TOLERANCE["float32"])
        assert row["none_of_these"] == pytest.approx(here.none_of_these)
        for content, reason in (
            (b"no image", "image 1 is none"),
            (b"", "0 bytes"),
            (page.read_bytes()[:90], "image 1"),
        ):
            status, answer = ask(server.url, content)
            assert status == 400
            assert reason in answer["message"]
            assert "Traceback" not in json.dumps(answer)
            assert "stack_trace" not in answer


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_hostile_images_four_at_a_time_take_less_than_500_mb(tmp_path: Path) -> None:
    model = save_toy_identifier(tmp_path / "toy")
    with serve(model, Path(sys.executable), others_in_the_way(tmp_path)) as server:
        status, answer = ask(server.url, hostile_images()["a PNG of 144 million pixels"])
        assert status == 400
        assert "must have at most 16000000 pixels, but image 1 has 144000000" in answer["message"]
        flood = flood_server(server, 1000)
        status, answer = ask(server.url, write_line(tmp_path / "line.png").read_bytes())
        assert status == 200, "it still answers"
    print(flood)
    assert flood.peak_mb - flood.idle_mb < 500
    assert {status for found in flood.answers.values() for status in found} == {200, 400}
    assert set(flood.answers["a PNG of 144 million pixels"]) == {400}

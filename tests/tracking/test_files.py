import numpy as np
import pytest

from perception.errors import ConfigError, InputError
from perception.evaluation.mot import read_mot
from perception.tracking.files import track_file


def lines(frames, *, score=0.99, gap=()):
    """One object of 50x30 px moving right by 5 px a frame."""
    return "".join(
        f"{f},-1,{100 + 5 * f},150,50,30,{score},-1,-1,-1\n" for f in frames if f not in gap
    )


def test_a_file_of_detections_becomes_a_file_of_tracks(tmp_path):
    (tmp_path / "det.txt").write_text(lines(range(1, 21)))
    summary = track_file(tmp_path / "det.txt", tmp_path / "out.txt")
    out = read_mot(tmp_path / "out.txt", unique_ids=True)
    assert out.object_id.tolist() == [1] * 20
    assert out.xyxy[-1] == pytest.approx([200, 150, 250, 180], abs=1)
    assert "20 frames, 20 detections -> 1 tracks, 20 boxes" in str(summary)


def test_offline_fills_a_gap_and_live_does_not(tmp_path):
    (tmp_path / "det.txt").write_text(
        lines(range(1, 31), gap=range(10, 18)) + "31,-1,900,10,5,5,0.01,-1,-1,-1\n"
    )
    # Something else is seen on the frames of the gap, so these frames were there.
    text = (tmp_path / "det.txt").read_text()
    other = "".join(f"{f},-1,700,100,40,30,0.99,-1,-1,-1\n" for f in range(1, 32))
    rows = sorted((text + other).splitlines(), key=lambda line: int(line.split(",")[0]))
    (tmp_path / "det.txt").write_text("\n".join(rows))
    track_file(tmp_path / "det.txt", tmp_path / "live.txt")
    track_file(tmp_path / "det.txt", tmp_path / "off.txt", offline=True)
    live, off = (read_mot(tmp_path / name, unique_ids=True) for name in ("live.txt", "off.txt"))
    moving = off.object_id == 1
    assert set(off.frame[moving].tolist()) == set(range(1, 31))
    assert len(set(live.frame[live.object_id == 1].tolist())) < 26
    filled = off.xyxy[moving][(off.frame[moving] == 14)]
    assert filled[0] == pytest.approx([170, 150, 220, 180], abs=2)


def test_offline_gives_the_first_weak_boxes_of_an_object_that_proves_real(tmp_path):
    (tmp_path / "det.txt").write_text(
        lines(range(1, 4), score=0.93) + lines(range(4, 20), score=0.999)
    )
    track_file(tmp_path / "det.txt", tmp_path / "live.txt", neutral_score=0.95, size_slope=0)
    track_file(
        tmp_path / "det.txt", tmp_path / "off.txt", neutral_score=0.95, size_slope=0, offline=True
    )
    live, off = (read_mot(tmp_path / name) for name in ("live.txt", "off.txt"))
    assert live.frame.min() > 1
    assert off.frame.min() == 1


def test_a_folder_of_sequences_becomes_a_folder_of_tracks(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in" / name / "det").mkdir(parents=True)
        (tmp_path / "in" / name / "det" / "det.txt").write_text(lines(range(1, 6)))
    summary = track_file(tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "b.txt"]
    assert summary.sequences == 2


def test_no_detections_give_an_empty_file(tmp_path):
    (tmp_path / "det.txt").write_text("")
    for offline in (False, True):
        track_file(tmp_path / "det.txt", tmp_path / "out.txt", offline=offline)
        assert (tmp_path / "out.txt").read_text() == ""


def test_a_frame_number_far_ahead_costs_nothing(tmp_path):
    (tmp_path / "det.txt").write_text(lines([1, 2, 3, 10**9]))
    for offline in (False, True):
        assert track_file(tmp_path / "det.txt", tmp_path / "out.txt", offline=offline).frames == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,-1,5,5,10\n", "line 1: expected at least six numbers"),
        ("1,-1,5,5,10,10,0.9\nrubbish\n", "line 2: expected at least six numbers"),
        ("2,-1,5,5,9,9,0.9\n1,-1,5,5,9,9,0.9\n", "line 2: frame 1 comes after frame 2"),
        ("1,-1,5,5,-10,10,0.9\n", "line 1: width and height must not be negative"),
        ("1,-1,nan,5,10,10,0.9\n", "line 1: every number must be finite"),
        ("1,-1,5,5,10,inf,0.9\n", "line 1: every number must be finite"),
        ("1.5,-1,5,5,10,10,0.9\n", "line 1: frame must be a whole number, but is 1.5"),
        ("-3,-1,5,5,10,10,0.9\n", "line 1: frame must be 0 or more"),
        ("1,-1,5,5,10,10,7.5\n", "line 1: score must be in 0..1, but is 7.5"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(tmp_path, text, says):
    (tmp_path / "det.txt").write_text(text)
    with pytest.raises(InputError, match=r"det\.txt, " + says):
        track_file(tmp_path / "det.txt", tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def test_paths_that_cannot_be_are_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.txt: No such file"):
        track_file(tmp_path / "none.txt", tmp_path / "out.txt")
    (tmp_path / "det.txt").write_text(lines([1]))
    with pytest.raises(InputError, match="is a folder; name the file to write"):
        track_file(tmp_path / "det.txt", tmp_path)
    with pytest.raises(InputError, match="write the tracks somewhere else"):
        track_file(tmp_path / "det.txt", tmp_path / "det.txt")
    with pytest.raises(InputError, match="cannot write"):
        track_file(tmp_path / "det.txt", tmp_path / "none" / "out.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no sequences"):
        track_file(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "det.txt").write_bytes(b"\xff\xfe\x00rubbish\x80")
    with pytest.raises(InputError, match="is not a text file"):
        track_file(tmp_path / "det.txt", tmp_path / "out.txt")


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf])
def test_a_frame_rate_that_is_none_is_refused(tmp_path, rate):
    with pytest.raises(ConfigError, match="frame rate must be above 0"):
        track_file(tmp_path / "det.txt", tmp_path / "out.txt", frame_rate=rate)

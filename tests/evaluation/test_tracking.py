"""Our figures against TrackEval's, the KITTI rule included, and against py-motmetrics' published ones."""

import json
import warnings

import numpy as np
import pytest

from perception.errors import ConfigError, InputError
from perception.evaluation.mot import read_mot
from perception.evaluation.tracking import RULES, Scores, evaluate, match_frames
from perception.tracking.files import track_file

NEAR = 1e-6


@pytest.fixture(scope="module")
def trackeval():
    # TrackEval is written for older numpy and scipy; its warnings are not ours.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("trackeval", reason="needs TrackEval (the test extra)")


def oracle(trackeval, data):
    """TrackEval's own metrics on `data`, one sequence in its own layout: raw results by metric."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = trackeval.metrics
        quiet = {"PRINT_CONFIG": False}
        parts = [metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet)]
        return [(metric, metric.eval_sequence(data)) for metric in parts]


def figures(hota, clear, identity):
    return {
        "hota": 100 * hota["HOTA"].mean(),
        "det_a": 100 * hota["DetA"].mean(),
        "ass_a": 100 * hota["AssA"].mean(),
        "loc_a": 100 * hota["LocA"].mean(),
        "mota": 100 * clear["MOTA"],
        "motp": 100 * clear["MOTP"],
        "idf1": 100 * identity["IDF1"],
        "switches": clear["IDSW"],
        "fragmentations": clear["Frag"],
        "mostly_tracked": clear["MT"],
        "mostly_lost": clear["ML"],
        "tp": clear["CLR_TP"],
        "fn": clear["CLR_FN"],
        "fp": clear["CLR_FP"],
    }


def agree(scores: Scores, expected):
    for name, value in expected.items():
        assert getattr(scores, name) == pytest.approx(value, abs=NEAR), name


def in_their_layout(frames):
    truth, track = [frame.truth for frame in frames], [frame.track for frame in frames]
    return {
        "num_timesteps": len(frames),
        "gt_ids": truth,
        "tracker_ids": track,
        "similarity_scores": [frame.iou for frame in frames],
        "num_gt_dets": sum(map(len, truth)),
        "num_tracker_dets": sum(map(len, track)),
        "num_gt_ids": len(set(np.concatenate(truth).tolist())),
        "num_tracker_ids": len(set(np.concatenate(track).tolist())),
    }


@pytest.mark.parametrize(
    ("name", "mota", "idf1"), [("TUD-Campus", 52.6, 55.8), ("TUD-Stadtmitte", 56.4, 64.5)]
)
def test_tud_pairs_score_as_trackeval_and_motmetrics_have_them(shared, trackeval, name, mota, idf1):
    folder = shared / "data" / "mot" / "tud"
    gt, tracks = folder / f"{name}_gt.txt", folder / f"{name}_test.txt"
    scores = evaluate(gt, tracks).combined
    assert round(scores.mota, 1) == mota
    assert round(scores.idf1, 1) == idf1
    frames = match_frames(read_mot(gt), read_mot(tracks), RULES["plain"])
    results = [result for _, result in oracle(trackeval, in_their_layout(frames))]
    agree(scores, figures(*results))


def kitti_label(frame, number, kind, considered, box, score=""):
    x1, y1, x2, y2 = box
    unused = "-10 -1 -1 -1 -1000 -1000 -1000 -10"
    cut = 0 if considered else 1
    a, b = unused.split(" ", 1)
    return f"{frame} {number} {kind} {cut} 0 {a} {x1} {y1} {x2} {y2} {b} {score}".rstrip() + "\n"


def test_kitti_scores_as_trackevals_own_kitti_reader_has_them(shared, trackeval, tmp_path):
    """The tracks of our own tracker, through TrackEval from the label files on."""
    source = shared / "data" / "mot" / "kitti"
    names = ["0000", "0002", "0004", "0017"]
    kinds = {3: "Car", 4: "Van", 8: "DontCare"}
    gt, ours = tmp_path / "gt", tmp_path / "trackers" / "ours" / "data"
    (gt / "label_02").mkdir(parents=True)
    ours.mkdir(parents=True)
    out = tmp_path / "out"
    out.mkdir()
    lengths = []
    for name in names:
        track_file(source / name / "det" / "det.txt", out / f"{name}.txt")
        truth = read_mot(source / name / "gt" / "gt.txt")
        tracks = read_mot(out / f"{name}.txt")
        (gt / "label_02" / f"{name}.txt").write_text(
            "".join(
                kitti_label(f, i, kinds[c], s != 0, b)
                for f, i, c, s, b in zip(
                    truth.frame.tolist(),
                    truth.object_id.tolist(),
                    truth.class_id.tolist(),
                    truth.score.tolist(),
                    truth.xyxy.tolist(),
                    strict=True,
                )
            )
        )
        (ours / f"{name}.txt").write_text(
            "".join(
                kitti_label(f, i, "Car", True, b, 1)
                for f, i, b in zip(
                    tracks.frame.tolist(),
                    tracks.object_id.tolist(),
                    tracks.xyxy.tolist(),
                    strict=True,
                )
            )
        )
        lengths.append(f"{name} empty 000000 {int(truth.frame.max()) + 1}\n")
    (gt / "evaluate_tracking.seqmap.training").write_text("".join(lengths))
    (tmp_path / "gt_mot").mkdir()
    for name in names:
        (tmp_path / "gt_mot" / f"{name}.txt").symlink_to(source / name / "gt" / "gt.txt")
    report = evaluate(tmp_path / "gt_mot", out)
    assert report.rule == "kitti"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = trackeval.datasets.Kitti2DBox(
            {
                "GT_FOLDER": str(gt),
                "TRACKERS_FOLDER": str(tmp_path / "trackers"),
                "CLASSES_TO_EVAL": ["car"],
                "PRINT_CONFIG": False,
            }
        )
        results = {}
        for name in names:
            raw = dataset.get_raw_seq_data("ours", name)
            results[name] = oracle(trackeval, dataset.get_preprocessed_seq_data(raw, "car"))
            expected = figures(*(result for _, result in results[name]))
            agree(report.sequences[name], expected)
        together = [
            metric.combine_sequences({name: results[name][i][1] for name in names})
            for i, (metric, _) in enumerate(results[names[0]])
        ]
    expected = figures(*together)
    agree(report.combined, expected)


def write(path, rows):
    path.write_text("".join(",".join(str(value) for value in row) + "\n" for row in rows))
    return path


def track(number, frames, *, x=0, score=1, extra=()):
    return [(f, number, x + 5 * f, 50, 60, 40, score, *extra) for f in frames]


def test_perfect_tracks_score_a_hundred(tmp_path):
    gt = write(tmp_path / "gt.txt", track(1, range(1, 11)) + track(2, range(3, 9), x=300))
    tracks = write(tmp_path / "t.txt", track(7, range(1, 11)) + track(3, range(3, 9), x=300))
    scores = evaluate(gt, tracks).combined
    for name in ("hota", "det_a", "ass_a", "loc_a", "mota", "motp", "idf1"):
        assert getattr(scores, name) == pytest.approx(100), name
    assert scores.switches == scores.fragmentations == scores.fn == scores.fp == 0


def test_a_change_of_id_is_one_switch_and_a_gap_is_one_fragmentation(tmp_path):
    gt = write(tmp_path / "gt.txt", track(1, range(1, 11)) + track(2, range(1, 11), x=300))
    tracks = track(1, range(1, 6)) + track(2, range(6, 11))
    tracks += [row for row in track(3, range(1, 11), x=300) if row[0] not in (4, 5)]
    scores = evaluate(gt, write(tmp_path / "t.txt", tracks)).combined
    assert (scores.switches, scores.fragmentations, scores.fn) == (1, 1, 2)
    assert scores.mota == pytest.approx(100 * (1 - 3 / 20))
    assert scores.idf1 == pytest.approx(100 * 13 / (13 + 0.5 * (5 + 7)))


def test_vans_small_boxes_and_ignored_regions_cost_nothing_under_the_kitti_rule(tmp_path):
    car, van, region = (1, 3, 1), (1, 4, 1), (1, 8, 0)
    gt = [(1, 1, 0, 0, 60, 40, *car), (1, 2, 200, 0, 60, 40, *van)]
    gt += [(1, 3, 300, 0, 60, 40, 0, 3, 1), (1, -1, 400, 0, 100, 100, 0, 8, 0)]
    gt = write(tmp_path / "gt.txt", [row[:6] + (row[6:] or region) for row in gt])
    out = [(1, 1, 0, 0, 60, 40, 1), (1, 2, 200, 0, 60, 40, 1), (1, 3, 300, 0, 60, 40, 1)]
    out += [(1, 4, 410, 10, 60, 40, 1), (1, 5, 600, 0, 60, 25, 1)]
    report = evaluate(gt, write(tmp_path / "t.txt", out))
    assert report.rule == "kitti"
    assert (report.combined.tp, report.combined.fp, report.combined.fn) == (1, 0, 0)
    out.append((1, 6, 600, 100, 60, 26, 1))  # taller than 25 px
    assert evaluate(gt, write(tmp_path / "t.txt", out)).combined.fp == 1
    plain = evaluate(gt, tmp_path / "t.txt", rule="plain").combined
    assert plain.fp == 4


def test_no_tracks_at_all_miss_everything(tmp_path):
    gt = write(tmp_path / "gt.txt", track(1, range(1, 11)))
    (tmp_path / "t.txt").write_text("")
    scores = evaluate(gt, tmp_path / "t.txt").combined
    assert (scores.fn, scores.hota, scores.mota, scores.idf1) == (10, 0, 0, 0)


def test_the_table_has_a_line_per_sequence_and_one_for_all(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "gt" / name / "gt").mkdir(parents=True)
        write(tmp_path / "gt" / name / "gt" / "gt.txt", track(1, range(1, 11)))
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "a.txt", track(1, range(1, 11)))
    write(tmp_path / "out" / "b.txt", track(1, range(1, 6)))
    report = evaluate(tmp_path / "gt", tmp_path / "out")
    lines = report.table().splitlines()
    assert [line.split()[0] for line in lines] == ["sequence", "a", "b", "all", "rule:"]
    assert "100.00" in lines[1]
    read = json.loads(json.dumps(report.as_dict()))
    assert read["all"]["mota"] == pytest.approx(75)
    assert read["sequences"]["b"]["fn"] == 5


@pytest.mark.parametrize(
    ("gt", "tracks", "says"),
    [
        ("", "1,1,0,0,5,5\n", r"gt\.txt, line 1: expected truth, but the file has no lines"),
        ("1,1,0,0,5,5\n", "1,-1,0,0,5,5\n", r"t\.txt, line 1: a track's id must be 0 or more"),
        ("1,1,0,0,5,5\n" * 2, "1,1,0,0,5,5\n", r"gt\.txt, line 2: id 1 is on frame 1 a second"),
        ("1,1,0,0,5,5\n", "1,1,0,0,5\n", r"t\.txt, line 1: expected at least six numbers"),
        ("1,1,0,0,5,5\n", "1,1,0,0,5,nan\n", r"t\.txt, line 1: every number must be finite"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, gt, tracks, says):
    (tmp_path / "gt.txt").write_text(gt)
    (tmp_path / "t.txt").write_text(tracks)
    with pytest.raises(InputError, match=says):
        evaluate(tmp_path / "gt.txt", tmp_path / "t.txt")


def test_missing_files_and_mixed_paths_are_named(tmp_path):
    write(tmp_path / "gt.txt", track(1, [1]))
    with pytest.raises(InputError, match=r"cannot read .*t\.txt"):
        evaluate(tmp_path / "gt.txt", tmp_path / "t.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no sequences"):
        evaluate(tmp_path / "empty", tmp_path)
    with pytest.raises(InputError, match="no tracks for sequence gt"):
        evaluate(tmp_path, tmp_path / "empty")
    with pytest.raises(InputError, match="must be one file"):
        evaluate(tmp_path / "gt.txt", tmp_path)
    with pytest.raises(InputError, match="must be in a folder"):
        evaluate(tmp_path, tmp_path / "gt.txt")
    with pytest.raises(ConfigError, match="unknown rule 'kiti': did you mean 'kitti'"):
        evaluate(tmp_path / "gt.txt", tmp_path / "gt.txt", rule="kiti")


@pytest.mark.slow
def test_the_practice_sequences_are_tracked_as_well_as_documented(shared, tmp_path):
    """The figures of docs/tracking.md; a change that makes them worse must say so there."""
    source = shared / "data" / "mot" / "kitti"
    track_file(source, tmp_path / "live")
    live = evaluate(source, tmp_path / "live").combined
    assert live.hota > 75.5
    assert live.idf1 > 89.0
    assert live.switches <= 60
    track_file(source, tmp_path / "offline", offline=True)
    assert evaluate(source, tmp_path / "offline").combined.hota > 77.9

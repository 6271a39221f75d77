"""The `trackers` package (ByteTrack) with supervision's frames, annotators and video sink."""

import numpy as np
import supervision as sv
import yolox
from trackers import ByteTrackTracker


def main() -> None:
    job = yolox.job()
    session = yolox.session(job.weights)
    name = session.get_inputs()[0].name
    tracker = ByteTrackTracker()
    boxes, labels, traces = sv.BoxAnnotator(), sv.LabelAnnotator(), sv.TraceAnnotator()
    with sv.VideoSink(job.out, sv.VideoInfo.from_video_path(job.clip)) as sink:
        for image in sv.get_video_frames_generator(job.clip):
            tensor, scale = yolox.prepare(image)
            xyxy, score, kind = yolox.decode(session.run(None, {name: tensor})[0], scale)
            found = sv.Detections(
                xyxy=xyxy.astype(np.float32).reshape(-1, 4),
                confidence=score.astype(np.float32),
                class_id=kind.astype(int),
            )
            found = tracker.update(found)
            ids = found.tracker_id if found.tracker_id is not None else np.zeros(0, int)
            scene = boxes.annotate(image.copy(), found)
            scene = labels.annotate(
                scene, found, [f"#{t} {k}" for t, k in zip(ids, found.class_id, strict=True)]
            )
            scene = traces.annotate(scene, found) if len(ids) else scene
            job.write(found.xyxy, found.confidence, found.class_id, ids)
            job.keep(scene)
            sink.write_frame(scene)
            if job.enough:
                break
    job.finish()


main()

"""supervision: process_video with ONNX Runtime and its annotators; it has no tracker of its own any more."""

import numpy as np
import supervision as sv
import yolox


def main() -> None:
    job = yolox.job()
    session = yolox.session(job.weights)
    name = session.get_inputs()[0].name
    boxes, labels = sv.BoxAnnotator(), sv.LabelAnnotator()

    def callback(image: np.ndarray, index: int) -> np.ndarray:
        tensor, scale = yolox.prepare(image)
        xyxy, score, kind = yolox.decode(session.run(None, {name: tensor})[0], scale)
        found = sv.Detections(
            xyxy=xyxy.astype(np.float32).reshape(-1, 4),
            confidence=score.astype(np.float32),
            class_id=kind.astype(int),
        )
        texts = [f"{k} {s:.2f}" for k, s in zip(found.class_id, found.confidence, strict=True)]
        scene = boxes.annotate(image.copy(), found)
        scene = labels.annotate(scene, found, texts)
        job.write(found.xyxy, found.confidence, found.class_id)
        job.keep(scene)
        return scene

    more = {} if job.frames is None else {"max_frames": job.frames}
    sv.process_video(job.clip, job.out, callback, **more)
    job.finish()


main()

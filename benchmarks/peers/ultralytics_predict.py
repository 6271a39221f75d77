"""Ultralytics' track() over a video with an ONNX file of YOLOX's cost, saved as it saves videos."""

import shutil
import sys
from pathlib import Path

import yolox


def main() -> None:
    job = yolox.job()
    from ultralytics import YOLO

    folder = Path(job.out).with_suffix("")
    model = YOLO(job.weights, task="detect")
    for result in model.predict(
        job.clip,
        stream=True,
        save=True,
        imgsz=yolox.SIZE,
        conf=yolox.MIN_SCORE,
        iou=yolox.MAX_IOU,
        project=str(folder.parent.resolve()),
        name=folder.name,
        exist_ok=True,
        verbose=False,
    ):
        boxes = result.boxes
        job.write(boxes.xyxy.numpy(), boxes.conf.numpy(), boxes.cls.numpy().astype(int))
        if job.drawn is not None:
            job.keep(result.plot())
        if job.enough:
            break
    saved = next(p for p in folder.iterdir() if p.suffix in (".avi", ".mp4"))
    shutil.move(str(saved), job.out)
    job.finish()


if __name__ == "__main__":
    sys.exit(main())

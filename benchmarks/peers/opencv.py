"""OpenCV alone: VideoCapture, dnn, VideoWriter."""

import cv2
import yolox


def main() -> None:
    job = yolox.job()
    capture = cv2.VideoCapture(job.clip)
    rate = capture.get(cv2.CAP_PROP_FPS)
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    writer = cv2.VideoWriter(job.out, cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
    net = cv2.dnn.readNetFromONNX(job.weights)
    while not job.enough:
        there, image = capture.read()
        if not there:
            break
        tensor, scale = yolox.prepare(image)
        net.setInput(tensor)
        found = yolox.decode(net.forward(), scale)
        yolox.draw(image, *found)
        job.write(*found)
        job.keep(image)
        writer.write(image)
    writer.release()
    job.finish()


main()

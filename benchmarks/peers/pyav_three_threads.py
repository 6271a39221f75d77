"""PyAV, ONNX Runtime and OpenCV's drawing in three threads with queues between them, to H.264."""

import queue
import threading

import av
import yolox


def main() -> None:
    job = yolox.job()
    session = yolox.session(job.weights)
    name = session.get_inputs()[0].name
    frames: queue.Queue = queue.Queue(4)
    drawn: queue.Queue = queue.Queue(4)
    source = av.open(job.clip)
    video = source.streams.video[0]
    video.thread_type = "AUTO"
    stop = threading.Event()

    def read() -> None:
        for frame in source.decode(video):
            if stop.is_set():
                break
            frames.put(frame.to_ndarray(format="bgr24"))
        frames.put(None)

    def write() -> None:
        with av.open(job.out, "w") as target:
            stream = target.add_stream("libx264", rate=video.average_rate)
            stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "23"}
            while (image := drawn.get()) is not None:
                for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                    target.mux(packet)
            for packet in stream.encode(None):
                target.mux(packet)

    threads = [threading.Thread(target=read, daemon=True), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    while (image := frames.get()) is not None:
        tensor, scale = yolox.prepare(image)
        found = yolox.decode(session.run(None, {name: tensor})[0], scale)
        yolox.draw(image, *found)
        job.write(*found)
        job.keep(image)
        drawn.put(image)
        if job.enough:
            stop.set()
            break
    drawn.put(None)
    threads[1].join()
    job.finish()


main()

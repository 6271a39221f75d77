"""PyAV, ONNX Runtime and OpenCV's drawing in one loop, to H.264."""

import av
import yolox


def main() -> None:
    job = yolox.job()
    session = yolox.session(job.weights)
    name = session.get_inputs()[0].name
    with av.open(job.clip) as source, av.open(job.out, "w") as target:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        stream = target.add_stream("libx264", rate=video.average_rate)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        for frame in source.decode(video):
            image = frame.to_ndarray(format="bgr24")
            tensor, scale = yolox.prepare(image)
            found = yolox.decode(session.run(None, {name: tensor})[0], scale)
            yolox.draw(image, *found)
            job.write(*found)
            job.keep(image)
            drawn = av.VideoFrame.from_ndarray(image, format="bgr24")
            for packet in stream.encode(drawn):
                target.mux(packet)
            if job.enough:
                break
        for packet in stream.encode(None):
            target.mux(packet)
    job.finish()


main()

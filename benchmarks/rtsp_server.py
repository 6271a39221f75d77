"""A real RTSP server on this machine, for tests and benchmarks: GStreamer's, started as a process of its own.

    python3 benchmarks/rtsp_server.py --port 8554 [--file CLIP.mp4] [--user NAME --password WORD]

Needs an interpreter that has GStreamer's bindings; on Debian and Ubuntu that is the system's, after

    apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly}

Without --file it encodes a moving test picture. Prints "ready" once it listens on 127.0.0.1.
"""

from __future__ import annotations

import argparse


def launch_line(options: argparse.Namespace) -> str:
    """The pipeline a client gets, in GStreamer's own words."""
    pay = "rtph264pay name=pay0 pt=96"
    if options.file:
        # The parameter sets come from the parser, once before each key picture: the payloader would put them
        # between the slices of one picture, too.
        parse = "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
        return f'( filesrc location="{options.file}" ! qtdemux ! {parse} ! {pay} )'
    width, height = options.size.split("x")
    picture = f"video/x-raw,width={width},height={height},framerate={options.fps}/1"
    encode = f"x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={options.fps}"
    return f"( videotestsrc is-live=true pattern=ball ! {picture} ! {encode} ! {pay} config-interval=-1 )"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file")
    parser.add_argument("--size", default="160x120")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    options = parser.parse_args()

    import gi  # type: ignore[import-not-found]

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(options.port))
    factory = GstRtspServer.RTSPMediaFactory(launch=launch_line(options), shared=False)
    if options.user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/live", factory)
    if server.attach(None) == 0:
        raise SystemExit(f"port {options.port} cannot be listened on")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()

"""The OpenGL context, made without a window through EGL."""

from __future__ import annotations

from typing import Any


class RendererUnavailable(RuntimeError):
    """Raised when this machine cannot draw; the message says what to install."""


def create_context() -> Any:
    """Return a standalone moderngl context on EGL.

    Raises:
        RendererUnavailable: moderngl is not installed, or no EGL driver answers.
    """
    try:
        import moderngl
    except ImportError as error:
        raise RendererUnavailable(
            "rendering needs the package moderngl, but it is not installed: "
            "pip install 'moderngl>=5.10' (the extra 'render')"
        ) from error
    try:
        context = moderngl.create_context(standalone=True, backend="egl")
    except Exception as error:  # the EGL loader raises bare Exception
        raise RendererUnavailable(
            "rendering needs an EGL driver, but none answered "
            f"({error}): on Debian or Ubuntu, apt-get install libegl1 libgl1-mesa-dri"
        ) from error
    if context.version_code < 330:
        raise RendererUnavailable(
            f"rendering needs OpenGL 3.3 or later, but this driver offers {context.version_code}"
        )
    return context

"""Where results go: an overlay video, JSON lines, a window, a page."""

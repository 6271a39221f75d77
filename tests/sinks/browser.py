"""Headless Chromium for tests, asked through its own debugging pipe: no driver and no package needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Chromium reads its orders from descriptor 3 and answers on descriptor 4.
START = """
import os, sys
orders, answers = map(int, sys.argv[1:3])
os.dup2(orders, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def browser_path() -> str | None:
    """Where Chromium is; None when it is not installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a headless Chromium; close it."""

    def __init__(self, path: str, profile: Path, *, size: tuple[int, int] = (1000, 700)) -> None:
        (orders, self._orders), (self._answers, answers) = os.pipe(), os.pipe()
        # Out of the way of 3 and 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (orders, answers)]
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, ends), path, *words],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (orders, answers, *ends):
            os.close(end)
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        pages = self._ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in pages if target["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What a line of JavaScript gives."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def picture(self) -> np.ndarray:
        """(H, W, 3) BGR of the page as it is now."""
        png = base64.b64decode(self._ask("Page.captureScreenshot")["data"])
        return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))

    def close(self) -> None:
        os.close(self._orders)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._answers)

    def _ask(self, method: str, timeout_s: float = 60.0, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        order: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        end = time.monotonic() + timeout_s
        while True:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                answer = json.loads(line)
                if answer.get("id") == self._number:
                    assert "error" not in answer, answer["error"]
                    return dict(answer["result"])
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"Chromium does not answer {method}"
            data = os.read(self._answers, 1 << 20)
            assert data, "Chromium has ended"
            self._rest += data

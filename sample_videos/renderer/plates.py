"""Number plates, as European ones look."""

from __future__ import annotations

import string

import cv2
import numpy as np

from .sign_marks import BLACK, BLUE, WHITE, YELLOW, Picture

PLATE_COUNT = 64


def plate_pictures() -> Picture:
    """Return (PLATE_COUNT, 32, 128, 4) pictures of number plates, row 0 at the bottom."""
    rng = np.random.default_rng(11)
    plates = []
    for index in range(PLATE_COUNT):
        picture = np.zeros((128, 512, 4), np.uint8)
        back = ((236, 236, 232, 255), (238, 238, 236, 255), (240, 200, 40, 255))[
            2 if index % 7 == 3 else index % 2
        ]
        picture[:] = BLACK
        cv2.rectangle(picture, (5, 5), (506, 122), back, -1)
        left = 20
        if index % 3:
            cv2.rectangle(picture, (5, 5), (52, 122), BLUE, -1)
            cv2.circle(picture, (28, 42), 14, YELLOW, 4)
            cv2.putText(
                picture,
                str(rng.choice(list("DFIEPBANS"))),
                (15, 108),
                cv2.FONT_HERSHEY_SIMPLEX,
                1.1,
                WHITE,
                4,
                cv2.LINE_AA,
            )
            left = 66
        letters = string.ascii_uppercase.replace("I", "").replace("O", "").replace("Q", "")
        text = (
            "".join(rng.choice(list(letters), 2))
            + " "
            + "".join(rng.choice(list("0123456789"), 3))
            + " "
            + "".join(rng.choice(list(letters), 2))
        )
        width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 2.6, 11)[0][0]
        strip = np.zeros((128, width + 20, 4), np.uint8)
        strip[:] = back
        cv2.putText(strip, text, (10, 94), cv2.FONT_HERSHEY_SIMPLEX, 2.6, BLACK, 11, cv2.LINE_AA)
        picture[12:116, left:500] = cv2.resize(
            strip, (500 - left, 128), interpolation=cv2.INTER_AREA
        )[12:116]
        plates.append(
            np.ascontiguousarray(cv2.resize(picture, (128, 32), interpolation=cv2.INTER_AREA)[::-1])
        )
    return np.stack(plates)

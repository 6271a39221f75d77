"""A Kalman filter for boxes in which every coordinate has its own constant-velocity filter.

A box is measured as z = (centre x, centre y, log width, log height). In logarithms an object that
nears at a steady rate grows at a steady velocity, so the state is right for driving, and a size never
becomes negative. All noises are relative to the size of the box, which makes a far object and a near one
alike; then position and velocity of each coordinate form a filter of their own with a 2x2 covariance,
and every step is a few element-wise operations on (N, 4) arrays.

Formulas: Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation" (2001),
section 6.2 (white-noise acceleration) and 5.2 (update). Time is in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
MIN_SIDE = 1e-3
MAX_LOG_SIDE = 15.0  # beyond every picture, and far from overflow


def measure(xyxy: npt.NDArray[np.floating]) -> F64:
    """Boxes (N, 4) as measurements (N, 4): centre x, centre y, log width, log height."""
    corner = np.asarray(xyxy, np.float64)
    near, far = corner[:, :2], corner[:, 2:]
    position = np.empty_like(corner)
    np.divide(near + far, 2, out=position[:, :2])
    np.log(np.maximum(far - near, MIN_SIDE), out=position[:, 2:])
    return position


def to_xyxy(position: F64) -> F64:
    """Measurements or positions (N, 4) as boxes (N, 4)."""
    half = np.exp(np.minimum(position[:, 2:], MAX_LOG_SIDE)) / 2
    centre = position[:, :2]
    xyxy = np.empty((len(position), 4))
    np.subtract(centre, half, out=xyxy[:, :2])
    np.add(centre, half, out=xyxy[:, 2:])
    return xyxy


@dataclass(slots=True)
class BoxStates:
    """The filters of N objects; rows are objects.

    Attributes:
        position: (N, 4) as `measure` gives it.
        velocity: (N, 4) per second.
        variance: (N, 3) of position, of both together, of velocity, relative to the box (see `unit`);
            the four coordinates of a box share it.
    """

    position: F64
    velocity: F64
    variance: F64

    @classmethod
    def empty(cls) -> BoxStates:
        return cls(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 3)))

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, rows: npt.NDArray[np.generic]) -> BoxStates:
        return BoxStates(self.position[rows], self.velocity[rows], self.variance[rows])

    @property
    def xyxy(self) -> F64:
        return to_xyxy(self.position)


@dataclass(frozen=True, slots=True)
class BoxFilter:
    """The noises of the filter, all relative to the box: 0.05 is 5 % of its height, or of its size.

    Args:
        measured: standard deviation of a detection.
        acceleration: square root of the spectral density of the acceleration, per s^1.5.
        start_velocity: standard deviation of the velocity of a new object, per second.
    """

    measured: float = 0.05
    acceleration: float = 1.5
    start_velocity: float = 1.0

    def start(self, xyxy: npt.NDArray[np.floating]) -> BoxStates:
        """New objects at these boxes (N, 4), at rest."""
        position = measure(xyxy)
        variance = np.tile([self.measured**2, 0.0, self.start_velocity**2], (len(position), 1))
        return BoxStates(position, np.zeros_like(position), variance)

    def predict(self, states: BoxStates, dt: float) -> BoxStates:
        """The states `dt` seconds later."""
        pp, pv, vv = states.variance.T
        q = self.acceleration**2
        variance = np.empty_like(states.variance)
        moved = dt * vv
        variance[:, 0] = pp + dt * (2 * pv + moved) + q * dt**3 / 3
        variance[:, 1] = pv + moved + q * dt**2 / 2
        variance[:, 2] = vv + q * dt
        return BoxStates(states.position + dt * states.velocity, states.velocity, variance)

    def update(self, states: BoxStates, xyxy: npt.NDArray[np.floating]) -> BoxStates:
        """The states after each object was detected at its box (N, 4)."""
        pp, pv, vv = states.variance.T
        total = pp + self.measured**2
        gain_p, gain_v = pp / total, pv / total
        residual = measure(xyxy) - states.position
        variance = np.empty_like(states.variance)
        np.subtract(pp, gain_p * pp, out=variance[:, 0])
        np.subtract(pv, gain_p * pv, out=variance[:, 1])
        np.subtract(vv, gain_v * pv, out=variance[:, 2])
        return BoxStates(
            states.position + gain_p[:, None] * residual,
            states.velocity + gain_v[:, None] * residual,
            variance,
        )

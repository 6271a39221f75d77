"""The kernel that prepares pictures on the GPU, in CUDA C++, and what it is told of each picture.

See `perception.backends.trt_preprocess`.
"""

from __future__ import annotations

import numpy as np

KERNEL = "prepare"
BLOCK = (32, 8, 1)
BILINEAR, AREA, NEAREST = 0, 1, 2  # AREA: the mean over the output pixel's rectangle

# One plane of a source: address and geometry, and how it is sampled.
_PLANE = [
    ("data", "<u8"),
    ("pitch", "<i4"),  # bytes from row to row
    ("step", "<i4"),  # bytes from pixel to pixel
    ("width", "<i4"),
    ("height", "<i4"),
    ("block", "<i4"),  # block x block pixels are averaged to one before sampling
    ("mode", "<i4"),  # BILINEAR, AREA or NEAREST
    ("scale_x", "<f4"),  # (blocks of) source pixels per output pixel
    ("scale_y", "<f4"),
]
PICTURE = np.dtype(
    [
        ("plane", np.dtype(_PLANE), (3,)),
        ("out", "<u8"),  # (3, out_height, out_width) float32
        ("out_width", "<i4"),
        ("out_height", "<i4"),
        ("x", "<i4"),  # where the picture lies in it
        ("y", "<i4"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("convert", "<i4"),  # 1: planes are Y, Cb, Cr; 0: B, G, R
        ("swap", "<i4"),  # 1: the network wants R, G, B
        ("matrix", "<f4", (12,)),  # (Y, Cb, Cr, 1) -> (B, G, R)
        ("pad", "<f4"),
        ("mean", "<f4", (3,)),  # in the network's order
        ("inverse_std", "<f4", (3,)),
        ("reserved", "<i4"),
    ]
)
SOURCE = r"""
struct Plane {
  unsigned long long data;
  int pitch, step, width, height, block, mode;
  float scale_x, scale_y;
};

struct Picture {
  Plane plane[3];
  unsigned long long out;
  int out_width, out_height, x, y, width, height, convert, swap;
  float matrix[12];
  float pad;
  float mean[3];
  float inverse_std[3];
  int reserved;
};
static_assert(sizeof(Picture) == 240, "Picture must be what the host writes");

__device__ float whole_level(float value) {
  return fminf(fmaxf(rintf(value), 0.0f), 255.0f);
}

__device__ float block_mean(const Plane& p, int bx, int by) {
  const unsigned char* data = reinterpret_cast<const unsigned char*>(p.data);
  int sum = 0;
  for (int j = 0; j < p.block; ++j) {
    const unsigned char* row = data + (long long)(by * p.block + j) * p.pitch;
    for (int i = 0; i < p.block; ++i) sum += row[(bx * p.block + i) * p.step];
  }
  return (float)sum / (float)(p.block * p.block);
}

// Between the centres of the four nearest (blocks of) pixels; the border pixel is repeated outside.
__device__ float bilinear(const Plane& p, int ox, int oy) {
  const int width = p.width / p.block, height = p.height / p.block;
  float x = (ox + 0.5f) * p.scale_x - 0.5f, y = (oy + 0.5f) * p.scale_y - 0.5f;
  x = fminf(fmaxf(x, 0.0f), (float)(width - 1));
  y = fminf(fmaxf(y, 0.0f), (float)(height - 1));
  const int x0 = (int)x, y0 = (int)y;
  const int x1 = x0 + 1 < width ? x0 + 1 : x0, y1 = y0 + 1 < height ? y0 + 1 : y0;
  const float fx = x - x0, fy = y - y0;
  const float top = block_mean(p, x0, y0) * (1.0f - fx) + block_mean(p, x1, y0) * fx;
  const float bottom = block_mean(p, x0, y1) * (1.0f - fx) + block_mean(p, x1, y1) * fx;
  return top * (1.0f - fy) + bottom * fy;
}

// The mean over the output pixel's rectangle; pixels at its border count by the share inside.
__device__ float area_mean(const Plane& p, int ox, int oy) {
  const unsigned char* data = reinterpret_cast<const unsigned char*>(p.data);
  const float sx = p.scale_x * p.block, sy = p.scale_y * p.block;
  const float left = ox * sx, right = fminf((ox + 1) * sx, (float)p.width);
  const float top = oy * sy, bottom = fminf((oy + 1) * sy, (float)p.height);
  float sum = 0.0f, weight = 0.0f;
  for (int y = (int)top; y < p.height && (float)y < bottom; ++y) {
    const float wy = fminf(bottom, y + 1.0f) - fmaxf(top, (float)y);
    const unsigned char* row = data + (long long)y * p.pitch;
    for (int x = (int)left; x < p.width && (float)x < right; ++x) {
      const float w = wy * (fminf(right, x + 1.0f) - fmaxf(left, (float)x));
      sum += w * row[x * p.step];
      weight += w;
    }
  }
  return weight > 0.0f ? sum / weight : 0.0f;
}

__device__ float nearest(const Plane& p, int ox, int oy) {
  const unsigned char* data = reinterpret_cast<const unsigned char*>(p.data);
  return data[(long long)(int)(oy * p.scale_y) * p.pitch + (int)(ox * p.scale_x) * p.step];
}

__device__ float sample(const Plane& p, int ox, int oy) {
  if (p.mode == 0) return bilinear(p, ox, oy);
  return p.mode == 1 ? area_mean(p, ox, oy) : nearest(p, ox, oy);
}

extern "C" __global__ void prepare(const Picture* pictures) {
  const Picture& t = pictures[blockIdx.z];
  const int ox = blockIdx.x * blockDim.x + threadIdx.x;
  const int oy = blockIdx.y * blockDim.y + threadIdx.y;
  if (ox >= t.out_width || oy >= t.out_height) return;
  float bgr[3] = {t.pad, t.pad, t.pad};
  const int px = ox - t.x, py = oy - t.y;
  if (px >= 0 && py >= 0 && px < t.width && py < t.height) {
    float s[3];
    for (int c = 0; c < 3; ++c) s[c] = whole_level(sample(t.plane[c], px, py));
    for (int c = 0; c < 3; ++c) {
      const float* m = t.matrix + 4 * c;
      bgr[c] = t.convert ? whole_level(m[0] * s[0] + m[1] * s[1] + m[2] * s[2] + m[3]) : s[c];
    }
  }
  float* out = reinterpret_cast<float*>(t.out);
  const long long plane = (long long)t.out_width * t.out_height;
  for (int c = 0; c < 3; ++c) {
    const float value = bgr[t.swap ? 2 - c : c];
    out[c * plane + (long long)oy * t.out_width + ox] = (value - t.mean[c]) * t.inverse_std[c];
  }
}
"""

// Reading and writing pieces of images in the fast convolutions: windows with zeros around the image, and the
// bias, activation and residual that a result passes through on its way to memory.
#pragma once

#include "ops/kernels/kernels.h"
#include "tensor/kernels/micro.h"

namespace dgp::DGP_ISA {

// A tile of 4x4 outputs: its first row and column, and those of the next one.
struct TileAt {
  int64_t row, column, width;
  TileAt(int64_t tile, int64_t image_width) : width(image_width) {
    int64_t across = (image_width + 3) / 4;
    row = tile / across * 4, column = tile % across * 4;
  }
  void next() {
    column += 4;
    if (column >= width) column = 0, row += 4;
  }
};

// A window of an image: pixel (i, j) starts at data + i * row + j * pixel.
struct Window {
  const float* data;
  int64_t row, pixel;
};

// Pixels [y, y+size) x [x, x+size): in place where all of it is in memory, with room for whole vectors of
// channels, else a copy in `room` [size, size, channels rounded up] with zeros outside the image.
inline Window window_at(const ImageRows& image, int64_t y, int64_t x, int64_t size, float* room) {
  int64_t c = image.channels, pixel = image.pixel, first = y - image.first;
  int64_t padded = round_up(c, kLanes);
  int64_t last = ((first + size - 1) * image.width + x + size - 1) * pixel + padded;
  if (first >= 0 && x >= 0 && first + size <= image.rows && x + size <= image.width &&
      last <= (image.rows * image.width - 1) * pixel + c)
    return {image.data + (first * image.width + x) * pixel, image.width * pixel, pixel};
  auto clamped = [size](int64_t n) { return n < 0 ? 0 : n > size ? size : n; };
  int64_t left = clamped(-x), right = clamped(image.width - x), whole = c / kLanes * kLanes;
  auto clear = [](float* from, float* to) {
    for (; from < to; from += kLanes) store<kLanes>(from, V{});
  };
  for (int64_t i = 0; i < size; ++i) {
    bool inside = first + i >= 0 && first + i < image.rows;
    float *row = room + i * size * padded, *begin = row + (inside ? left : size) * padded,
          *end = row + (inside ? right : size) * padded;
    clear(row, begin);
    const float* from = image.data + ((first + i) * image.width + x + left) * pixel;
    for (float* to = begin; to < end; to += padded, from += pixel) {
      for (int64_t k = 0; k < whole; k += kLanes) store<kLanes>(to + k, load<kLanes>(from + k));
      if (whole < c) store<kLanes>(to + whole, load_part<kLanes>(from + whole, c - whole));
    }
    clear(end, row + size * padded);
  }
  return {room, size * padded, padded};
}

// y = leaky(v + bias, slope) + residual for one vector of channels, `count` of them to be stored; returns y.
struct Finish {
  V bias;
  float slope;
  bool activate, stream;
  int64_t count;

  DGP_INLINE V operator()(V v, const float* residual, float* y) const {
    v = v + bias;
    if (activate) v = leaky<kLanes>(v, slope);
    if (count < kLanes) {
      if (residual) v = v + load_part<kLanes>(residual, count);
      store_part<kLanes>(y, v, count);
      return v;
    }
    if (residual) v = v + load<kLanes>(residual);
    if (stream)
      dgp::stream<kLanes>(y, v);
    else
      store<kLanes>(y, v);
    return v;
  }
};

// The finish of channels [first, first + kLanes) of `channels`.
inline Finish finish_of(const Epilogue& epilogue, int64_t first, int64_t channels) {
  int64_t count = channels - first < kLanes ? channels - first : kLanes;
  bool aligned = channels % kLanes == 0;
  V bias{};
  if (epilogue.bias) bias = load_part<kLanes>(epilogue.bias + first, count);
  return {bias, epilogue.slope, epilogue.slope != 1.0f, epilogue.stream && aligned, count};
}

}  // namespace dgp::DGP_ISA

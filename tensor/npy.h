// NumPy's .npy files (format versions 1 to 3,
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): f32, f64, u8 and i64 arrays,
// row-major, little-endian. Anything else is refused with the reason; column-major (Fortran) order is put
// into row-major order where the bytes are in memory.
#pragma once

#include <string>
#include <string_view>

#include "tensor/file.h"
#include "tensor/tensor.h"

namespace dgp {

Tensor read_npy(const std::string& path);
void write_npy(const std::string& path, const Tensor& tensor);  // version 1.0, atomic

// The same on bytes in memory; `name` is what errors call the file.
Tensor parse_npy(std::string_view bytes, const std::string& name);

// An array that need not be in memory: parts of it, counted in elements, read from its file.
class NpyReader {
 public:
  explicit NpyReader(const std::string& path);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  void read(int64_t first, int64_t count, void* elements) const;

 private:
  FileReader file_;
  DType dtype_;
  Shape shape_;
  int64_t begin_;  // of the elements in the file
};

// The same, written in parts, in any order; there is no file before commit().
class NpyWriter {
 public:
  NpyWriter(const std::string& path, DType dtype, const Shape& shape);

  void write(int64_t first, int64_t count, const void* elements);
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  int64_t element_size_, begin_;
};

}  // namespace dgp

// Tensor: a contiguous, row-major array with a shape, an element type and shared storage.
// Images and feature maps are [N, H, W, C]. Copying a Tensor shares its storage; clone() copies the values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/error.h"
#include "tensor/half.h"

namespace dgp {

using Shape = std::vector<int64_t>;

enum class DType { f32, f64, u8, i64, bf16, f16 };  // the last two: storage of feature maps on the GPU
enum class Device { cpu, cuda };

int64_t element_size(DType dtype);
const char* to_string(DType dtype);
const char* to_string(Device device);
std::string to_string(const Shape& shape);  // "[1,90,160,48]"
int64_t numel(const Shape& shape);          // product; throws on a negative size or an overflow

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<bf16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<f16>() {
  return DType::f16;
}

class Tensor {
 public:
  Tensor() = default;  // undefined: has no storage; defined() is false
  explicit Tensor(Shape shape, DType dtype = DType::f32, Device device = Device::cpu);  // uninitialised

  static Tensor zeros(Shape shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor full(Shape shape, double value, DType dtype = DType::f32, Device device = Device::cpu);
  template <class T>
  static Tensor from(Shape shape, const std::vector<T>& values);  // values in row-major order

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t dim(int axis) const;  // negative axes count from the end
  int64_t numel() const { return numel_; }
  int64_t nbytes() const { return numel_ * element_size(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }

  // The elements. Constness is shallow, as with a shared pointer. Throws when T is not the element type, or
  // the tensor is not in the CPU's memory: what has no kernel for a device refuses its tensors here.
  template <class T>
  T* data() const {
    if (dtype_of<T>() != dtype_ || device_ != Device::cpu) [[unlikely]]
      wrong_access(dtype_of<T>());
    return reinterpret_cast<T*>(storage_.get() + offset_);
  }
  std::byte* bytes() const {
    if (device_ != Device::cpu) [[unlikely]]
      wrong_access(dtype_);
    return storage_.get() + offset_;
  }
  // The same of a tensor on the GPU: an address for kernels.
  template <class T>
  T* device_data() const {
    if (dtype_of<T>() != dtype_ || device_ != Device::cuda) [[unlikely]]
      wrong_access(dtype_of<T>());
    return reinterpret_cast<T*>(storage_.get() + offset_);
  }
  // The elements' address wherever they are: for code that hands it to a kernel of the tensor's device.
  template <class T>
  T* address() const {
    return device_ == Device::cuda ? device_data<T>() : data<T>();
  }
  template <class T = float>
  T item() const;  // the value of a one-element tensor

  Tensor reshape(Shape shape) const;                // shares storage; one size may be -1
  Tensor slab(int64_t begin, int64_t count) const;  // rows [begin, begin+count) of axis 0; shares storage
  Tensor clone() const;
  // Converts; the same tensor when it already has that type. On the GPU between f32, bf16 and f16.
  Tensor to(DType dtype) const;
  Tensor to(Device device) const;              // copies; the same tensor when it is already there
  void copy_from(const Tensor& source) const;  // same shape and type
  void fill(double value) const;

  // True when this is the only reference to its storage, so that it may be updated in place.
  bool sole_owner() const { return storage_.use_count() == 1; }

 private:
  [[noreturn]] void wrong_access(DType asked) const;  // apart, so that data() costs little

  Shape shape_;
  int64_t numel_ = 0;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
  std::shared_ptr<std::byte[]> storage_;
  int64_t offset_ = 0;  // bytes
};

// Calls f(T{}) for the type T of the elements.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64:
      return f(double{});
    case DType::u8:
      return f(uint8_t{});
    case DType::i64:
      return f(int64_t{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    case DType::f32:
      break;
  }
  return f(float{});
}

// Calls f(float{}) or f(double{}): how kernels written for both are chosen.
template <class F>
auto dispatch_float(DType dtype, const char* op, F&& f) {
  if (dtype == DType::f64) return f(double{});
  check(dtype == DType::f32, op, ": expects f32 or f64, got ", to_string(dtype));
  return f(float{});
}

// Throws "<op>: ..." unless both tensors have the same shape and type.
void check_same(const char* op, const Tensor& a, const Tensor& b);
void check_rank(const char* op, const char* name, const Tensor& t, int rank);

}  // namespace dgp

#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "tensor/allocator.h"
#include "tensor/cuda.h"

namespace dgp {

int64_t element_size(DType dtype) {
  return dispatch(dtype, [](auto zero) { return static_cast<int64_t>(sizeof(zero)); });
}

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::u8:
      return "u8";
    case DType::i64:
      return "i64";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
  }
  return "?";
}

const char* to_string(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text.append(i ? "," : "").append(std::to_string(shape[i]));
  return text + "]";
}

int64_t numel(const Shape& shape) {
  int64_t n = 1;
  for (int64_t size : shape) {
    check(size >= 0, "shape ", to_string(shape), " has a negative size");
    check(!__builtin_mul_overflow(n, size, &n), "shape ", to_string(shape), " has too many elements");
  }
  return n;
}

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : shape_(std::move(shape)), numel_(dgp::numel(shape_)), dtype_(dtype), device_(device) {
  check(numel_ <= (int64_t{1} << 40), "tensor ", to_string(shape_), " has too many elements");
  if (device == Device::cuda) cuda::require();
  storage_ = device == Device::cuda ? cuda::allocate(nbytes()) : allocate(nbytes());
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor t(std::move(shape), dtype, device);
  if (device == Device::cuda)
    cuda::zero(t.storage_.get(), t.nbytes());
  else
    std::memset(t.bytes(), 0, static_cast<size_t>(t.nbytes()));
  return t;
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  Tensor t(std::move(shape), dtype, device);
  t.fill(value);
  return t;
}

template <class T>
Tensor Tensor::from(Shape shape, const std::vector<T>& values) {
  Tensor t(std::move(shape), dtype_of<T>());
  check(t.numel() == static_cast<int64_t>(values.size()), "tensor ", to_string(t.shape()), " cannot hold ",
        values.size(), " values");
  if (!values.empty()) std::memcpy(t.bytes(), values.data(), static_cast<size_t>(t.nbytes()));
  return t;
}
template Tensor Tensor::from(Shape, const std::vector<float>&);
template Tensor Tensor::from(Shape, const std::vector<double>&);
template Tensor Tensor::from(Shape, const std::vector<uint8_t>&);
template Tensor Tensor::from(Shape, const std::vector<int64_t>&);

int64_t Tensor::dim(int axis) const {
  int a = axis < 0 ? axis + rank() : axis;
  if (a < 0 || a >= rank()) fail(ErrorCode::invalid, "axis ", axis, " of tensor ", to_string(shape_));
  return shape_[static_cast<size_t>(a)];
}

void Tensor::wrong_access(DType asked) const {
  if (dtype_ != asked && (dtype_ == DType::bf16 || dtype_ == DType::f16))
    fail(ErrorCode::invalid, "tensor ", to_string(shape_), " holds ", to_string(dtype_),
         ": this operation has no kernel for 16 bits; convert it to f32 with cast() or to()");
  if (dtype_ != asked)
    fail(ErrorCode::invalid, "tensor ", to_string(shape_), " holds ", to_string(dtype_), ", not ",
         to_string(asked));
  fail(ErrorCode::invalid, "tensor ", to_string(shape_), " is on device ", to_string(device_),
       ": this operation does not run there; move it with to()");
}

template <class T>
T Tensor::item() const {
  check(numel_ == 1, "item: tensor ", to_string(shape_), " has more than one element");
  return to(Device::cpu).data<T>()[0];
}
template float Tensor::item() const;
template double Tensor::item() const;
template int64_t Tensor::item() const;

Tensor Tensor::reshape(Shape shape) const {
  int64_t known = 1;
  int64_t* open = nullptr;
  for (int64_t& size : shape) {
    if (size == -1) {
      check(!open, "reshape: more than one -1 in ", to_string(shape));
      open = &size;
    } else {
      known *= size;
    }
  }
  if (open) *open = known > 0 ? numel_ / known : 0;
  check(dgp::numel(shape) == numel_, "reshape: ", to_string(shape_), " to ", to_string(shape),
        " changes the number of elements");
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::slab(int64_t begin, int64_t count) const {
  check(rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape_[0], "slab: rows ", begin, "..",
        begin + count, " of tensor ", to_string(shape_));
  int64_t row = shape_[0] > 0 ? nbytes() / shape_[0] : 0;
  Tensor t = *this;
  t.shape_[0] = count;
  t.numel_ = dgp::numel(t.shape_);
  t.offset_ += begin * row;
  return t;
}

Tensor Tensor::clone() const {
  Tensor t(shape_, dtype_, device_);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor t(shape_, dtype, device_);
  if (device_ == Device::cuda) {
    cuda::convert(t.storage_.get(), dtype, storage_.get() + offset_, dtype_, numel_);
    return t;
  }
  dispatch(dtype_, [&](auto from) {
    dispatch(dtype, [&](auto into) {
      using From = decltype(from);
      using Into = decltype(into);
      // 16 bits are reached through f32: they have no conversions of their own.
      using Through = std::conditional_t<sizeof(From) == 2 || sizeof(Into) == 2, float, From>;
      const From* source = data<From>();
      Into* target = t.data<Into>();
      for (int64_t i = 0; i < numel_; ++i) target[i] = static_cast<Into>(static_cast<Through>(source[i]));
    });
  });
  return t;
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  Tensor t(shape_, dtype_, device);
  t.copy_from(*this);
  return t;
}

void Tensor::copy_from(const Tensor& source) const {
  check_same("copy", *this, source);
  std::byte *to = storage_.get() + offset_, *from = source.storage_.get() + source.offset_;
  bool to_device = device_ == Device::cuda, from_device = source.device_ == Device::cuda;
  if (to_device && from_device)
    cuda::copy(to, from, nbytes());
  else if (to_device)
    cuda::to_device(to, from, nbytes());
  else if (from_device)
    cuda::to_host(to, from, nbytes());
  else if (numel_ > 0)
    std::memcpy(to, from, static_cast<size_t>(nbytes()));
}

void Tensor::fill(double value) const {
  if (device_ == Device::cuda && dtype_ == DType::f32)
    return cuda::fill(device_data<float>(), numel_, static_cast<float>(value));
  if (device_ == Device::cuda) return copy_from(full(shape_, value, dtype_));
  dispatch(dtype_, [&](auto zero) {
    using T = decltype(zero);
    using Through = std::conditional_t<sizeof(T) == 2, float, double>;
    std::fill_n(data<T>(), numel_, static_cast<T>(static_cast<Through>(value)));
  });
}

void check_same(const char* op, const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(), op, ": ", to_string(a.dtype()),
        to_string(a.shape()), " and ", to_string(b.dtype()), to_string(b.shape()), " differ");
}

void check_rank(const char* op, const char* name, const Tensor& t, int rank) {
  check(t.rank() == rank, op, ": ", name, " expects ", rank, " axes, got ", to_string(t.shape()));
}

}  // namespace dgp

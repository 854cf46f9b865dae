#include "tensor/tensor.h"

#include <bit>
#include <cmath>
#include <limits>

#include "tensor/random.h"
#include "tests/test.h"

using namespace dgp;

TEST_CASE("shapes: text, size, and what is refused", "[tensor]") {
  CHECK(to_string(Shape{1, 90, 160, 48}) == "[1,90,160,48]");
  CHECK(to_string(Shape{}) == "[]");
  CHECK(numel({}) == 1);
  CHECK(numel({3, 0, 5}) == 0);
  CHECK(numel({2, 3, 4}) == 24);
  CHECK_THROWS_WITH(numel({2, -1}), ContainsSubstring("[2,-1]"));
  CHECK_THROWS_AS(numel({int64_t{1} << 40, int64_t{1} << 40}), Error);
}

TEST_CASE("a default tensor is undefined, an empty one is not", "[tensor]") {
  CHECK(!Tensor().defined());
  Tensor empty({0, 3});
  CHECK(empty.defined());
  CHECK(empty.numel() == 0);
  CHECK(empty.clone().shape() == Shape{0, 3});
}

TEST_CASE("tensors: making, reading, axes", "[tensor]") {
  Tensor t = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(t.rank() == 2);
  CHECK(t.dim(0) == 2);
  CHECK(t.dim(-1) == 3);
  CHECK(t.nbytes() == 24);
  CHECK(t.data<float>()[4] == 5);
  CHECK_THROWS_WITH(t.dim(2), ContainsSubstring("axis 2") && ContainsSubstring("[2,3]"));
  CHECK_THROWS_WITH(t.dim(-3), ContainsSubstring("axis -3"));
  CHECK_THROWS_WITH(t.data<double>(),
                    ContainsSubstring("[2,3]") && ContainsSubstring("f32") && ContainsSubstring("f64"));
  CHECK_THROWS_WITH(t.item(), ContainsSubstring("[2,3]"));
  CHECK_THROWS_WITH(Tensor::from<float>({2, 2}, {1, 2, 3}),
                    ContainsSubstring("[2,2]") && ContainsSubstring("3"));
  CHECK(Tensor::full({2}, 7, DType::u8).data<uint8_t>()[1] == 7);
  CHECK(Tensor::zeros({2}, DType::i64).data<int64_t>()[1] == 0);
  CHECK(Tensor::full({}, 2.5).item() == 2.5f);
  CHECK_THROWS_WITH(Tensor({2}, DType::f32, Device::cuda), ContainsSubstring("cuda"));
}

TEST_CASE("tensors: copies share, clones do not", "[tensor]") {
  Tensor a = Tensor::full({4}, 1);
  CHECK(a.sole_owner());
  Tensor b = a, c = a.clone();
  CHECK(!a.sole_owner());
  a.fill(2);
  CHECK(b.data<float>()[0] == 2);
  CHECK(c.data<float>()[0] == 1);
}

TEST_CASE("reshape and slab share storage", "[tensor]") {
  Tensor t = Tensor::from<double>({4, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  Tensor r = t.reshape({2, -1});
  CHECK(r.shape() == Shape{2, 6});
  CHECK(r.bytes() == t.bytes());
  Tensor s = t.slab(1, 2);
  CHECK(s.shape() == Shape{2, 3});
  CHECK(s.data<double>()[0] == 3);
  CHECK(s.slab(1, 1).data<double>()[2] == 8);
  CHECK(s.clone().data<double>()[5] == 8);
  s.fill(-1);
  CHECK(t.data<double>()[8] == -1);
  CHECK(t.data<double>()[9] == 9);
  CHECK(t.slab(4, 0).numel() == 0);
  CHECK_THROWS_WITH(t.slab(3, 2), ContainsSubstring("3..5") && ContainsSubstring("[4,3]"));
  CHECK_THROWS_AS(t.slab(-1, 2), Error);
  CHECK_THROWS_WITH(t.reshape({5, 2}), ContainsSubstring("[4,3]") && ContainsSubstring("[5,2]"));
  CHECK_THROWS_AS(t.reshape({-1, -1}), Error);
  CHECK_THROWS_AS(t.reshape({5, -1}), Error);
}

TEST_CASE("conversion between element types", "[tensor]") {
  Tensor t = Tensor::from<double>({3}, {-1.75, 0, 200.5});
  CHECK(t.to(DType::f64).bytes() == t.bytes());
  CHECK(t.to(DType::f32).data<float>()[0] == -1.75f);
  CHECK(t.to(DType::i64).data<int64_t>()[0] == -1);
  CHECK(t.slab(1, 2).to(DType::u8).data<uint8_t>()[1] == 200);
  CHECK(Tensor::from<uint8_t>({1}, {255}).to(DType::f32).item() == 255);
}

TEST_CASE("numbers of 16 bits round to nearest, ties to even", "[tensor]") {
  Rng rng(1);
  auto same = [](float want, float got) { return std::isnan(want) ? std::isnan(got) : want == got; };
  int wrong = 0;
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    auto bits = rng.bits();
    if (i % 2) bits = (bits & 0x8FFFFFFFU) | 0x30000000U;  // where f16 has most of its values
    if (i % 5 == 0) bits &= 0xFFFFF000U;                   // ties
    auto value = std::bit_cast<float>(bits);
    wrong += !same(static_cast<float>(static_cast<_Float16>(value)), f16(value));  // the compiler's own
    // bf16: the two neighbours, and which is nearer, in double.
    auto below = std::bit_cast<float>(bits & 0xFFFF0000U),
         above = std::bit_cast<float>((bits & 0xFFFF0000U) + 0x10000U);
    if (std::isnan(value) || !std::isfinite(above)) continue;
    double down = std::abs(double{value} - double{below}), up = std::abs(double{above} - double{value});
    wrong += !same(down < up || (down == up && (bits >> 16) % 2 == 0) ? below : above, bf16(value));
  }
  CHECK(wrong == 0);
  for (uint32_t h = 0; h < 65536; ++h) {
    auto bits = static_cast<uint16_t>(h);
    f16 half = std::bit_cast<f16>(bits);
    wrong += !same(static_cast<float>(std::bit_cast<_Float16>(bits)), half);
    wrong += !std::isnan(float{half}) && f16(float{half}).bits != bits;
    bf16 brain = std::bit_cast<bf16>(bits);
    wrong += !std::isnan(float{brain}) && bf16(float{brain}).bits != bits;
  }
  CHECK(wrong == 0);
  CHECK(std::isinf(float{bf16(3.4e38F)}));
  CHECK(std::isnan(float{bf16(std::bit_cast<float>(0x7F800001U))}));
}

TEST_CASE("tensors of 16 bits", "[tensor]") {
  for (DType dtype : {DType::bf16, DType::f16}) {
    Tensor t = Tensor::from<double>({3}, {-1.75, 0, 200.5}).to(dtype);
    CHECK(t.nbytes() == 6);
    CHECK(t.to(DType::f64).data<double>()[0] == -1.75);
    CHECK(t.to(DType::u8).data<uint8_t>()[2] == 200);
    CHECK(t.to(DType::f32).data<float>()[2] == (dtype == DType::f16 ? 200.5F : 200));
    CHECK(Tensor::full({2}, 0.5, dtype).to(DType::f32).data<float>()[1] == 0.5F);
    CHECK_THROWS_WITH(dispatch_float(dtype, "op", [](auto) { return 0; }), ContainsSubstring("op: "));
  }
  CHECK(std::string(to_string(DType::bf16)) + to_string(DType::f16) == "bf16f16");
}

TEST_CASE("copy_from wants the same shape and type", "[tensor]") {
  Tensor a({2, 3}), b = Tensor::full({2, 3}, 4);
  a.copy_from(b);
  CHECK(a.data<float>()[5] == 4);
  CHECK_THROWS_WITH(a.copy_from(Tensor({3, 2})),
                    ContainsSubstring("f32[2,3]") && ContainsSubstring("f32[3,2]"));
  CHECK_THROWS_WITH(a.copy_from(Tensor({2, 3}, DType::f64)), ContainsSubstring("f64[2,3]"));
}

TEST_CASE("kernels are chosen by element type", "[tensor]") {
  auto size = [](auto zero) { return sizeof(zero); };
  CHECK(dispatch_float(DType::f32, "op", size) == 4);
  CHECK(dispatch_float(DType::f64, "op", size) == 8);
  CHECK_THROWS_WITH(dispatch_float(DType::u8, "op", size),
                    ContainsSubstring("op: ") && ContainsSubstring("u8"));
}

TEST_CASE("errors carry their code", "[tensor]") {
  try {
    fail(ErrorCode::bad_file, "x.npy: ", 3, " bytes");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::bad_file);
    CHECK(std::string(error.what()) == "x.npy: 3 bytes");
  }
  CHECK_NOTHROW(check(true, "fine"));
  CHECK_THROWS_AS(check(false, "not fine"), Error);
}

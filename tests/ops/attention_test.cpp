#include "ops/attention.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {
OpUnderTest with_heads(int64_t heads) {
  return [=](const std::vector<Var>& v) { return multi_head_attention(v[0], v[1], v[2], heads); };
}
std::vector<Tensor> qkv(int64_t n, int64_t l, int64_t s, int64_t d) {
  return {random_tensor({n, l, d}, 1, -2, 2), random_tensor({n, s, d}, 2, -2, 2),
          random_tensor({n, s, d}, 3)};
}
}  // namespace

TEST_CASE("attention: gradients, f32, threads", "[attention]") {
  check_op(with_heads(1), qkv(1, 1, 1, 1));
  check_op(with_heads(3), qkv(3, 4, 4, 3));
  check_op(with_heads(2), qkv(2, 3, 5, 6));
  check_op(with_heads(1), qkv(1, 7, 2, 17));
  check_large(with_heads(4), qkv(3, 50, 37, 64));
}

TEST_CASE("attention equals its composed form, forward and backward", "[attention]") {
  std::vector<Tensor> inputs = qkv(2, 5, 9, 12);
  std::vector<Tensor> fast = run_op(with_heads(3), inputs, DType::f64);
  std::vector<Tensor> composed =
      run_op([](const std::vector<Var>& v) { return reference::multi_head_attention(v[0], v[1], v[2], 3); },
             inputs, DType::f64);
  for (size_t k = 0; k < fast.size(); ++k) {
    REQUIRE(fast[k].shape() == composed[k].shape());
    for (int64_t i = 0; i < fast[k].numel(); ++i)
      CHECK(fast[k].data<double>()[i] == Approx(composed[k].data<double>()[i]).margin(1e-13));
  }
}

TEST_CASE("attention computes only the gradients asked for", "[attention]") {
  std::vector<Tensor> in = qkv(2, 3, 4, 6), all = run_op(with_heads(2), in, DType::f64);
  for (size_t wanted = 0; wanted < 3; ++wanted) {
    std::vector<Var> v;
    for (size_t i = 0; i < 3; ++i) v.emplace_back(in[i], i == wanted);
    Var y = with_heads(2)(v);
    backward(y, random_tensor(y.shape(), 5));
    CHECK(same_bits(v[wanted].grad(), all[wanted + 1]));
  }
}

TEST_CASE("attention errors", "[attention]") {
  auto in = qkv(2, 3, 4, 6);
  CHECK_THROWS_WITH(multi_head_attention(in[0], in[1], in[2], 4),
                    ContainsSubstring("multi_head_attention: 4 heads") && ContainsSubstring("[2,3,6]"));
  CHECK_THROWS_WITH(multi_head_attention(in[0], in[1], in[0], 2),
                    ContainsSubstring("multi_head_attention") && ContainsSubstring("k [2,4,6], v [2,3,6]"));
}

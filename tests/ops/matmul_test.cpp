#include "ops/matmul.h"

#include "tests/ops/op_checks.h"

using namespace dgp;

namespace {

struct Case {
  int64_t batch_a, batch_b, m, n, k;  // batch 0: a matrix
};

Shape shape_of(int64_t batch, int64_t rows, int64_t columns, bool transposed) {
  if (transposed) std::swap(rows, columns);
  return batch > 0 ? Shape{batch, rows, columns} : Shape{rows, columns};
}

std::vector<Tensor> inputs(const Case& c, bool ta, bool tb) {
  return {random_tensor(shape_of(c.batch_a, c.m, c.k, ta), 1),
          random_tensor(shape_of(c.batch_b, c.k, c.n, tb), 2)};
}

OpUnderTest product(bool ta, bool tb) {
  return
      [=](const std::vector<Var>& v) { return matmul(v[0], v[1], {.transpose_a = ta, .transpose_b = tb}); };
}

}  // namespace

TEST_CASE("matmul: gradients, f32, threads", "[matmul]") {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      for (const Case& c : {Case{0, 0, 1, 1, 1},
                            {0, 0, 3, 5, 4},
                            {3, 3, 2, 1, 17},
                            {2, 0, 3, 4, 5},
                            {0, 2, 3, 4, 5},
                            {1, 1, 5, 3, 2},
                            {9, 9, 2, 3, 2}})
        check_op(product(ta, tb), inputs(c, ta, tb));
      check_large(product(ta, tb), inputs({2, 2, 70, 50, 33}, ta, tb));
      check_large(product(ta, tb), inputs({11, 11, 17, 19, 33}, ta, tb));
      check_large(product(ta, tb), inputs({3, 0, 70, 50, 33}, ta, tb));
    }
}

TEST_CASE("matmul: values for every layout", "[matmul]") {
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      for (const Case& c : {Case{2, 2, 3, 4, 5}, {0, 2, 3, 4, 5}, {2, 0, 3, 4, 5}, {0, 0, 3, 4, 5}}) {
        std::vector<Tensor> in = inputs(c, ta, tb);
        int64_t batch = std::max<int64_t>(1, std::max(c.batch_a, c.batch_b));
        std::vector<double> want;
        for (int64_t s = 0; s < batch; ++s)
          for (int64_t i = 0; i < c.m; ++i)
            for (int64_t j = 0; j < c.n; ++j) {
              const double* a = in[0].data<double>() + (c.batch_a > 0 ? s * c.m * c.k : 0);
              const double* b = in[1].data<double>() + (c.batch_b > 0 ? s * c.k * c.n : 0);
              double sum = 0;
              for (int64_t p = 0; p < c.k; ++p)
                sum += (ta ? a[p * c.m + i] : a[i * c.k + p]) * (tb ? b[j * c.k + p] : b[p * c.n + j]);
              want.push_back(sum);
            }
        bool batched = c.batch_a > 0 || c.batch_b > 0;
        check_values(product(ta, tb)({in[0], in[1]}).value(), batched ? Shape{2, 3, 4} : Shape{3, 4}, want);
      }
}

TEST_CASE("matmul over nothing is zero", "[matmul]") {
  check_values(matmul(random_tensor({2, 0}, 1), random_tensor({0, 2}, 1)).value(), {2, 2}, {0, 0, 0, 0});
}

TEST_CASE("matmul errors", "[matmul]") {
  Var a = random_tensor({2, 3}, 1), b = random_tensor({4, 5}, 1);
  CHECK_THROWS_WITH(matmul(a, b),
                    ContainsSubstring("matmul: a [2,3] and b [4,5]") && ContainsSubstring("3 and 4"));
  CHECK_THROWS_WITH(matmul(a, b, {.transpose_b = true}), ContainsSubstring("b transposed"));
  CHECK_THROWS_WITH(matmul(random_tensor({2, 1, 3}, 1), random_tensor({3, 3, 1}, 1)),
                    ContainsSubstring("batches of 2 and 3"));
  CHECK_THROWS_WITH(matmul(random_tensor({3}, 1), a),
                    ContainsSubstring("matmul") && ContainsSubstring("a [3]"));
  CHECK_THROWS_WITH(matmul(a, a.value().to(DType::f32)),
                    ContainsSubstring("f64[2,3]") && ContainsSubstring("f32[2,3]"));
}

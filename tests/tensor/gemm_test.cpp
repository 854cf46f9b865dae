// Matrix products against three loops in double.
#include "tensor/gemm.h"

#include <vector>

#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/test.h"

namespace dgp {

TEMPLATE_TEST_CASE("gemm equals three loops, transposed or not", "", float, double) {
  using T = TestType;
  struct Size {
    int64_t m, n, k;
  };
  for (Size s : {Size{1, 1, 1}, Size{3, 5, 7}, Size{17, 33, 64}, Size{64, 48, 129}, Size{130, 3, 27}}) {
    for (int form = 0; form < 8; ++form) {
      bool ta = form & 1, tb = form & 2, add = form & 4;
      int64_t lda = (ta ? s.m : s.k) + 2, ldb = (tb ? s.k : s.n) + 1, ldc = s.n + 3;
      Rng rng(static_cast<uint64_t>(form));
      auto random = [&](int64_t count) {
        std::vector<T> v(static_cast<size_t>(count));
        for (T& value : v) value = static_cast<T>(rng.uniform(-1, 1));
        return v;
      };
      auto a = random(lda * (ta ? s.k : s.m)), b = random(ldb * (tb ? s.n : s.k)), c = random(ldc * s.m);
      auto before = c;
      gemm<T>(ta, tb, s.m, s.n, s.k, T(0.5), a.data(), lda, b.data(), ldb, add ? T(2) : T(0), c.data(), ldc);
      double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
      for (int64_t i = 0; i < s.m; ++i) {
        for (int64_t j = 0; j < ldc; ++j) {
          auto at = static_cast<size_t>(i * ldc + j);
          if (j >= s.n) {
            REQUIRE(c[at] == before[at]);
            continue;
          }
          double sum = 0;
          for (int64_t p = 0; p < s.k; ++p)
            sum += double(a[static_cast<size_t>(ta ? p * lda + i : i * lda + p)]) *
                   double(b[static_cast<size_t>(tb ? j * ldb + p : p * ldb + j)]);
          double expected = 0.5 * sum + (add ? 2 * double(before[at]) : 0);
          REQUIRE(std::abs(double(c[at]) - expected) <= tolerance * (1 + static_cast<double>(s.k)));
        }
      }
    }
  }
}

}  // namespace dgp

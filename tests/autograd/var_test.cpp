#include "autograd/var.h"

#include "autograd/gradcheck.h"
#include "autograd/take_sum.h"
#include "tensor/allocator.h"
#include "tests/test.h"

using namespace dgp;

namespace {

// y = c x, by hand: these tests stand below the ops.
Var scaled(const Var& x, double c) {
  auto times = [](const Tensor& t, double c) {
    Tensor y(t.shape(), t.dtype());
    for (int64_t i = 0; i < t.numel(); ++i) y.data<double>()[i] = c * t.data<double>()[i];
    return y;
  };
  return record(times(x.value(), c), {x},
                [times, c](const Tensor& dy, const Wanted&) { return std::vector<Tensor>{times(dy, c)}; });
}

Var total(const Var& a, const Var& b) {
  Tensor y = a.value();
  accumulate(y, b.value());
  return record(y, {a, b}, [](const Tensor& dy, const Wanted& wanted) {
    return std::vector<Tensor>{wanted[0] ? dy : Tensor(), wanted[1] ? dy : Tensor()};
  });
}

Var leaf(double value) { return Var(Tensor::full({1}, value, DType::f64), true); }
double grad_of(const Var& v) { return v.grad().item<double>(); }

}  // namespace

TEST_CASE("backward: a chain, a diamond, a leaf used twice", "[autograd]") {
  Var x = leaf(3);
  backward(scaled(scaled(x, 2), 5));
  CHECK(grad_of(x) == 10);

  Var y = leaf(3), left = scaled(y, 2), right = scaled(y, 7);
  backward(total(total(left, right), left));
  CHECK(grad_of(y) == 11);

  Var z = leaf(1);
  backward(total(z, z));
  CHECK(grad_of(z) == 2);
}

TEST_CASE("backward visits each operation once, newest first", "[autograd]") {
  Var x = leaf(1), v = x;
  for (int i = 0; i < 60; ++i) v = total(v, v);  // 2^60 paths
  backward(v);
  CHECK(grad_of(x) == 0x1p60);
}

TEST_CASE("gradients accumulate until they are cleared", "[autograd]") {
  Var x = leaf(1);
  backward(scaled(x, 2));
  backward(scaled(x, 3));
  CHECK(grad_of(x) == 5);
  x.set_grad({});
  CHECK(!x.grad().defined());
  backward(scaled(x, 3));
  CHECK(grad_of(x) == 3);
}

TEST_CASE("accumulating does not change a tensor that others hold", "[autograd]") {
  Var a = leaf(1), b = leaf(1);
  Tensor seed = Tensor::full({1}, 4, DType::f64);
  backward(total(a, b), seed);  // both gradients are the seed itself
  backward(scaled(a, 1));
  CHECK(grad_of(a) == 5);
  CHECK(grad_of(b) == 4);
  CHECK(seed.item<double>() == 4);
}

TEST_CASE("backward weighs by its seed, and checks it", "[autograd]") {
  Var x(Tensor::from<double>({2}, {1, 2}), true);
  backward(scaled(x, 3), Tensor::from<double>({2}, {10, 100}));
  CHECK(x.grad().data<double>()[0] == 30);
  CHECK(x.grad().data<double>()[1] == 300);
  CHECK_THROWS_WITH(backward(scaled(x, 3), Tensor::full({1}, 1, DType::f64)),
                    ContainsSubstring("[2]") && ContainsSubstring("[1]"));
}

TEST_CASE("constants record nothing; backward of one is an error", "[autograd]") {
  Var c(Tensor::full({1}, 2, DType::f64));
  bool ran = false;
  Var y = record(c.value(), {c}, [&](const Tensor& dy, const Wanted&) {
    ran = true;
    return std::vector<Tensor>{dy};
  });
  CHECK(!y.requires_grad());
  CHECK_THROWS_WITH(backward(y), ContainsSubstring("requires a gradient"));
  CHECK_THROWS_AS(c.grad(), Error);
  CHECK(!ran);
}

TEST_CASE("an op is told which gradients are wanted", "[autograd]") {
  Var x = leaf(1), c(Tensor::full({1}, 2, DType::f64));
  Wanted seen;
  Var y = record(x.value(), {c, x, {}}, [&](const Tensor& dy, const Wanted& wanted) {
    seen = wanted;
    return std::vector<Tensor>{{}, dy, {}};
  });
  backward(y);
  CHECK(seen == Wanted{false, true, false});
}

TEST_CASE("an op may take over the gradient summed so far and add to it", "[autograd]") {
  Var x = leaf(1);
  std::vector<bool> sole;
  auto taking = [&](const Var& a, const Var& b) {
    return record(a.value(), {a, b}, [&](const Tensor& dy, const Wanted&) {
      Tensor sum = take_sum(0);
      sole.push_back(sum.defined() && sum.sole_owner());
      accumulate(sum, dy);
      return std::vector<Tensor>{sum, dy.clone()};
    });
  };
  Tensor kept;
  SECTION("nothing so far, then the first op's") {
    Var y = scaled(x, 1);
    backward(taking(y, taking(y, {})));
    CHECK(sole == std::vector<bool>{false, true});
    CHECK(x.grad().item<double>() == 2);
  }
  SECTION("twice the same input") {
    backward(taking(x, x));
    CHECK(x.grad().item<double>() == 2);
  }
  SECTION("a leaf's gradient of an earlier pass, which the caller still holds") {
    backward(taking(x, {}));
    kept = x.grad();
    backward(taking(x, {}));
    CHECK(x.grad().item<double>() == 2);
    CHECK(kept.item<double>() == 1);
  }
  SECTION("outside of a closure") { CHECK_THROWS_WITH(take_sum(0), ContainsSubstring("take_sum")); }
}

TEST_CASE("a gradient of the wrong shape or number is an error", "[autograd]") {
  Var x = leaf(1);
  auto returning = [&](std::vector<Tensor> grads) {
    return record(x.value(), {x}, [grads](const Tensor&, const Wanted&) { return grads; });
  };
  CHECK_THROWS_WITH(backward(returning({Tensor::zeros({2}, DType::f64)})), ContainsSubstring("[2]"));
  CHECK_THROWS_WITH(backward(returning({})), ContainsSubstring("0 gradients for 1"));
}

TEST_CASE("NoGrad stops recording, and ends with its scope", "[autograd]") {
  Var x = leaf(1);
  {
    NoGrad outer;
    CHECK(!recording({x}));
    { NoGrad inner; }
    CHECK(!scaled(x, 2).requires_grad());
  }
  CHECK(recording({x}));
  CHECK(scaled(x, 2).requires_grad());
  try {
    NoGrad no_grad;
    fail(ErrorCode::invalid, "thrown inside");
  } catch (const Error&) {
  }
  CHECK(recording({x}));
}

TEST_CASE("detach and set_value", "[autograd]") {
  Var x = leaf(2), y = total(scaled(x, 3), scaled(x, 100).detach());
  backward(y);
  CHECK(grad_of(x) == 3);
  Var z = leaf(1);
  backward(scaled(z, 2));
  z.set_value(Tensor::zeros({3}, DType::f64));
  CHECK(z.shape() == Shape{3});
  CHECK(z.requires_grad());
  CHECK(!z.grad().defined());
  CHECK_THROWS_AS(scaled(z, 2).set_value(Tensor::zeros({3}, DType::f64)), Error);
  CHECK_THROWS_AS(z.set_grad(Tensor::zeros({2}, DType::f64)), Error);
}

TEST_CASE("a graph of 200,000 operations runs backward", "[autograd]") {
  Var x = leaf(1), v = x;
  for (int i = 0; i < 200'000; ++i) v = scaled(v, 1);
  backward(v);
  CHECK(grad_of(x) == 1);
}

TEST_CASE("a graph of 200,000 operations is freed without running", "[autograd]") {
  int64_t before = memory_stats().in_use;
  {
    Var x = leaf(1), v = x;
    for (int i = 0; i < 200'000; ++i) v = total(v, scaled(v, 0.5));
  }
  CHECK(memory_stats().in_use == before);
}

TEST_CASE("backward frees what an op saved as soon as it has run", "[autograd]") {
  constexpr int64_t kCount = 1 << 16, kBytes = 8 * kCount;
  int64_t before = memory_stats().in_use;
  Var x(Tensor::full({kCount}, 1, DType::f64), true), v = x;
  for (int i = 0; i < 20; ++i)  // each saves a tensor of its own
    v = record(v.value(), {v},
               [saved = Tensor::full({kCount}, 1, DType::f64)](const Tensor& dy, const Wanted&) {
                 return std::vector<Tensor>{dy.clone()};
               });
  int64_t saved = memory_stats().in_use - before;
  CHECK(saved >= 20 * kBytes);
  int64_t at_first_op = 0;
  Var first = record(x.value(), {x}, [&](const Tensor& dy, const Wanted&) {
    at_first_op = memory_stats().in_use;
    return std::vector<Tensor>{dy};
  });
  Var w = first;
  for (int i = 0; i < 20; ++i)
    w = record(w.value(), {w},
               [kept = Tensor::full({kCount}, 1, DType::f64)](const Tensor& dy, const Wanted&) {
                 return std::vector<Tensor>{dy.clone()};
               });
  int64_t all = memory_stats().in_use;
  backward(w);
  CHECK(at_first_op <= all - 18 * kBytes);  // twenty saved tensors gone, a gradient or two alive
  backward(v);
  CHECK(memory_stats().in_use <= before + 3 * kBytes);  // x, its gradient, and what v and w share with it
}

TEST_CASE("an exception in a gradient leaves autograd usable", "[autograd]") {
  Var x = leaf(1);
  Var y = record(x.value(), {x}, [](const Tensor&, const Wanted&) -> std::vector<Tensor> {
    fail(ErrorCode::numeric, "gradient broke");
  });
  CHECK_THROWS_WITH(backward(y), "gradient broke");
  CHECK(recording({x}));
  backward(scaled(x, 2));
  CHECK(grad_of(x) == 2);
}

TEST_CASE("accumulate", "[autograd]") {
  Tensor sum, a = Tensor::full({3}, 2), undefined;
  accumulate(sum, undefined);
  CHECK(!sum.defined());
  accumulate(sum, a);
  accumulate(sum, a);
  CHECK(sum.data<float>()[2] == 4);
  CHECK(a.data<float>()[2] == 2);
  std::byte* place = sum.bytes();
  accumulate(sum, a);  // its only owner: in place
  CHECK(sum.bytes() == place);
  CHECK(sum.data<float>()[0] == 6);
  CHECK_THROWS_AS(accumulate(sum, Tensor({2})), Error);
}

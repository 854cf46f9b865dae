// .npz files as NumPy writes them (tests/reference/metric_vectors.py), and ways they can be wrong.
#include "tensor/npz.h"

#include "tensor/file.h"
#include "tests/test.h"

using namespace dgp;

namespace {
const std::string kFile = DGP_SOURCE_DIR "/tests/golden/niqe_model.npz";
}

TEST_CASE("a deflated archive of arrays is read, in either order") {
  const auto arrays = read_npz(kFile);
  REQUIRE(arrays.size() == 2);
  CHECK(arrays.at("mu_pris_param").shape() == Shape{1, 36});
  const Tensor& c = arrays.at("cov_pris_param");
  REQUIRE(c.shape() == Shape{36, 36});
  for (int64_t i = 0; i < 36; ++i) {
    CHECK(c.data<double>()[i * 37] > 0);  // a covariance: symmetric, its diagonal positive
    for (int64_t j = 0; j < i; ++j)
      CHECK(c.data<double>()[i * 36 + j] ==
            Approx(c.data<double>()[j * 36 + i]).epsilon(1e-12).margin(1e-15));
  }
}

TEST_CASE("a damaged or cut archive is refused, whatever byte is wrong") {
  const std::string good = read_file(kFile);
  CHECK_THROWS_WITH(parse_npz("", "f.npz"), ContainsSubstring("f.npz") && ContainsSubstring("ZIP"));
  CHECK_THROWS_WITH(parse_npz("no archive at all, but long enough", "f.npz"), ContainsSubstring("ZIP"));
  for (size_t length = 0; length < good.size(); length += 97)
    CHECK_THROWS_AS(parse_npz(good.substr(0, length), "f"), Error);
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x55);
    try {
      parse_npz(bad, "f");
    } catch (const Error& e) {
      CHECK(e.code() == ErrorCode::bad_file);
      ++refused;
    }
  }
  CHECK(refused >
        static_cast<int>(good.size()) * 9 / 10);  // times, versions and names in local headers go unread
}

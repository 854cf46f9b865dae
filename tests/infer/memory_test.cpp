// What a run takes, known beforehand and kept; and that bands, files and limits change no bit.
#include "infer/memory.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <sys/statvfs.h>

#include "image/alpha.h"
#include "image/resize.h"
#include "infer/picture.h"
#include "infer/plan.h"
#include "infer/upscaler.h"
#include "infer/workspace.h"
#include "tensor/allocator.h"
#include "tensor/parallel.h"
#include "tests/infer/networks.h"
#include "tests/temp_folder.h"
#include "tests/test.h"

using namespace dgp;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

Tensor run(const Plan& plan, const RowStore& lr, const Tiling& tiling) {
  Extent extent{lr.height(), lr.width()};
  int64_t scale = plan.config().scale;
  Workspace space(plan.config(), extent, tiling);
  Tensor hr({lr.height() * scale, lr.width() * scale, 3});
  plan.run(
      lr, space, [&](const Tensor& rows, int64_t first) { hr.slab(first, rows.dim(0)).copy_from(rows); },
      [](double) {});
  return hr;
}

RowStore to_disk(const Tensor& rows) {
  RowStore store = RowStore::on_disk(rows.dim(0), rows.dim(1), rows.dim(2));
  store.write(0, rows);
  return store;
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::limit);
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("bands of every height, kept, in tiles and on disk, give the same bits") {
  struct Case {
    DGPNetConfig config;
    int64_t height, width;
  };
  for (const Case& c :
       {Case{{4, 16, 2, 3, 1}, 37, 21}, Case{{2, 8, 3, 5, 1}, 61, 19}, Case{{1, 8, 2, 3, 4}, 62, 67},
        Case{{2, 8, 1, 3, 3}, 28, 11}, Case{{3, 8, 2, 1, 1}, 9, 6}, Case{{1, 8, 1, 7, 2}, 35, 9},
        Case{{4, 8, 0, 3, 1}, 13, 8}, Case{{4, 8, 2, 3, 1}, 1, 1}}) {
    CAPTURE(c.config.scale, c.config.kernel, c.config.unshuffle, c.height, c.width);
    Plan plan(random_net(c.config, 7));
    Tensor lr = random_tensor({c.height, c.width, 3}, 8);
    Tensor expected = run(plan, RowStore(lr), {64, 64, true, false});
    for (const Tiling& t :
         {Tiling{4, 4, true, false}, Tiling{4, 4, false, false}, Tiling{12, 8, false, false},
          Tiling{4, 4, false, true}, Tiling{8, 12, false, true}, Tiling{64, 4, false, true}})
      for (int threads : {1, 3}) {
        CAPTURE(t.rows, t.finish_rows, t.keep, t.spill, threads);
        int before = num_threads();
        set_num_threads(threads);
        CHECK(same_bits(run(plan, t.spill ? to_disk(lr) : RowStore(lr), t), expected));
        set_num_threads(before);
      }
  }
}

TEST_CASE("a workspace takes what was said, and a run little beside it") {
  for (const Tiling& t :
       {Tiling{32, 8, true, false}, Tiling{8, 4, false, false}, Tiling{16, 8, false, true}}) {
    CAPTURE(t.keep, t.spill);
    DGPNetConfig config{4, 16, 2, 3, 1};
    Plan plan(random_net(config, 1));
    Tensor lr = random_tensor({200, 320, 3}, 2);
    int64_t before = memory_stats().in_use;
    reset_peak_memory();
    run(plan, RowStore(lr), t);
    int64_t hr = lr.nbytes() * 16, peak = memory_stats().peak - before - hr;
    int64_t said = Workspace::bytes(config, {200, 320}, t);
    CHECK(peak >= said);
    CHECK(peak <= said + said / 8 + hr / 8 + 2 * kMiB * num_threads());  // the allocator rounds by an eighth
  }
}

TEST_CASE("the tiling chosen keeps the budget, and grows with it") {
  for (const DGPNetConfig& config : {DGPNetConfig::tiny(4), DGPNetConfig::base(4), DGPNetConfig::small(1, 4)})
    for (const Extent& lr :
         {Extent{270, 480}, Extent{1080, 1920}, Extent{16384, 16384}, Extent{65535, 4000}}) {
      CAPTURE(config.channels, lr.height, lr.width);
      Surroundings around{.lr_bytes = lr.height * lr.width * 12};
      int64_t least = bytes_of(config, lr, {4, 4, false, true}, around), speed = -1;
      Tiling none = choose_tiling(config, lr, 0, 0, around);
      CHECK(bytes_of(config, lr, none, around) <= least);
      for (int64_t budget = least; budget < (int64_t{1} << 38); budget *= 2) {
        Tiling t = choose_tiling(config, lr, 0, budget, around);
        CHECK(bytes_of(config, lr, t, around) <= budget);
        int64_t now = t.keep ? 2 : t.spill ? 0 : 1;
        CHECK(now >= speed);
        speed = now;
      }
      CHECK(speed == 2);
      CHECK(choose_tiling(config, lr, 30, 0, around).rows % kRowGrid == 0);
      CHECK(!choose_tiling(config, lr, 30, int64_t{1} << 40, around).keep);
      CHECK(choose_tiling(config, lr, -1, 0, around).keep);
    }
}

TEST_CASE("the second image of a size asks the system for no memory") {
  int before = num_threads();
  set_num_threads(1);  // how many threads need their scratch at a time is chance
  for (int64_t tile : {int64_t{-1}, int64_t{8}}) {
    Upscaler upscaler(random_net({4, 16, 2, 3, 1}, 1), {.tile_rows = tile});
    Tensor lr = random_tensor({1, 120, 90, 3}, 2);
    Image picture{random_tensor({64, 50, 4}, 3), 8};
    auto run_both = [&](bool streamed) {
      if (!streamed) return upscaler(lr).numel();
      int64_t rows = 0;
      upscaler.stream(picture, [&](const Tensor& band, int64_t) { rows += band.dim(0); });
      return rows;
    };
    for (bool streamed : {false, true}) {
      run_both(streamed);
      int64_t fresh = memory_stats().fresh;
      run_both(streamed);
      CHECK(memory_stats().fresh == fresh);
    }
  }
  set_num_threads(before);
}

TEST_CASE("a limit that cannot be kept is an error that says the least that can") {
  DGPNet net = random_net({4, 16, 2, 3, 1}, 1);
  Image picture{random_tensor({900, 1000, 3}, 2), 8};
  auto stream_with = [&](int64_t limit, int64_t tile) {
    Upscaler upscaler(net, {.tile_rows = tile, .max_memory = limit});
    upscaler.stream(picture, [](const Tensor&, int64_t) {});
  };
  std::string message = message_of([&] { stream_with(kMiB, 0); });
  CHECK_THAT(message, ContainsSubstring("1000x900") && ContainsSubstring("the limit is 1 MiB"));
  std::string before = "takes at least ";
  int64_t least = std::stoll(message.substr(message.find(before) + before.size()));
  CHECK(least > resident_memory() / kMiB);
  stream_with((least + 8) * kMiB, 0);  // what the process itself takes may have grown a little
  CHECK_THAT(message_of([&] { stream_with((least + 8) * kMiB, -1); }), ContainsSubstring("without tiles"));
}

TEST_CASE("a limit changes no bit") {
  for (int64_t channels : {1, 2, 3, 4}) {
    DGPNet net = random_net({3, 16, 2, 3, 1}, 4);
    Image picture{random_tensor({301, 207, channels}, 5, -0.2, 1), 16};
    for (int64_t i = 0; i < picture.pixels.numel(); ++i)
      picture.pixels.data<float>()[i] = std::max(0.0F, picture.pixels.data<float>()[i]);  // transparent, too
    Image expected = Upscaler(net, {.tile_rows = -1})(picture);
    for (int64_t more : {0, 4, 20}) {
      std::string message = message_of([&] { Upscaler(net, {.max_memory = kMiB})(picture); });
      int64_t least = std::stoll(message.substr(message.find("least ") + 6));
      CAPTURE(channels, more, least);
      CHECK(same_bits(Upscaler(net, {.max_memory = (least + more + 4) * kMiB})(picture).pixels,
                      expected.pixels));
    }
  }
}

TEST_CASE("a picture on disk is the picture in memory") {
  for (int64_t channels : {1, 2, 3, 4}) {
    Image image{random_tensor({67, 33, channels}, 5, -0.5, 1), 8};
    for (int64_t i = 0; i < image.pixels.numel(); ++i)
      image.pixels.data<float>()[i] = std::max(0.0F, image.pixels.data<float>()[i]);
    TempFolder folder;
    write_image(folder / "a.png", image);
    ImageReader first(folder / "a.png"), second(folder / "a.png");
    Picture memory(first, false), disk(second, true);
    CHECK(disk.rgb().is_on_disk());
    CHECK(same_bits(memory.rgb().read(0, 67), disk.rgb().read(0, 67)));
    Tensor rows = random_tensor({10, 99, 3}, 6);
    for (int64_t row : {0, 77, 191})
      CHECK(same_bits(memory.finished(rows, row, 3), disk.finished(rows, row, 3)));
  }
}

TEST_CASE("colour bleeds the same on disk") {
  for (auto [height, width] : {std::pair{1, 1}, {1, 9}, {7, 1}, {600, 410}, {33, 64}}) {
    Tensor colour = random_tensor({height, width, 3}, 1), alpha = random_tensor({height, width, 1}, 2, -3, 1);
    for (int64_t i = 0; i < alpha.numel(); ++i)
      alpha.data<float>()[i] = std::max(0.0F, alpha.data<float>()[i]);
    RowStore on_disk = to_disk(colour);
    bleed_colour(RowStore(colour), RowStore(alpha));
    bleed_colour(on_disk, to_disk(alpha));
    CHECK(same_bits(on_disk.read(0, height), RowStore(colour).read(0, height)));
  }
}

TEST_CASE("rows of a resized image are those of the whole") {
  Tensor x = random_tensor({23, 17, 2}, 3);
  for (double scale : {4.0, 3.0, 1.7, 0.4}) {
    Tensor whole = imresize(x, scale);
    for (int64_t first = 0; first < whole.dim(0); first += 5) {
      int64_t count = std::min<int64_t>(5, whole.dim(0) - first);
      CHECK(same_bits(imresize_rows(RowStore(x), scale, first, count), whole.slab(first, count)));
      CHECK(same_bits(imresize_rows(to_disk(x), scale, first, count), whole.slab(first, count)));
    }
  }
}

TEST_CASE("temporary files: their folder is named when it is missing or full") {
  auto error_of = [](int64_t bytes) {
    try {
      TemporaryFile file(bytes);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::io);
      return std::string(error.what());
    }
    return std::string("nothing was thrown");
  };
  TempFolder folder;
  const char* chosen = std::getenv("TMPDIR");
  std::string before = chosen ? chosen : "";
  setenv("TMPDIR", (folder / "none").c_str(), 1);
  CHECK_THAT(error_of(4096), ContainsSubstring(folder / "none") && ContainsSubstring("TMPDIR"));
  setenv("TMPDIR", folder.path.c_str(), 1);
  struct statvfs room;
  REQUIRE(statvfs(folder.path.c_str(), &room) == 0);
  auto free_bytes = static_cast<int64_t>(room.f_bavail) * static_cast<int64_t>(room.f_frsize);
  CHECK_THAT(error_of(free_bytes + (int64_t{1} << 34)), ContainsSubstring("disk full"));
  {
    TemporaryFile file(10000);
    int32_t out[3] = {1, 2, 3}, in[3] = {};
    file.write(5000, out, sizeof out);
    file.read(5000, in, sizeof in);
    CHECK(std::equal(out, out + 3, in));
    CHECK_THROWS_WITH(file.read(9996, in, sizeof in), ContainsSubstring("cannot read"));
    CHECK(folder.entries() == 0);
  }
  if (chosen)
    setenv("TMPDIR", before.c_str(), 1);
  else
    unsetenv("TMPDIR");
}

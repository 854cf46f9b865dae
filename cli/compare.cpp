// dgp compare: two or three pictures of one scene side by side, as a page with a slider or as one strip.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>

#include "cli/cli.h"
#include "cli/compare_page.h"
#include "image/crop.h"
#include "image/image.h"
#include "image/metrics.h"
#include "image/resize.h"

namespace dgp {
namespace {

constexpr int64_t kColumn = 480;  // width of a strip's column, pixels
constexpr int64_t kGap = 8;       // white, between pictures

struct CompareOptions {
  std::vector<std::string> pictures;
  std::string output, crop;
};

// Enlarged to the largest of the pictures where sizes differ by a whole number, so that LR compares with HR.
void match_sizes(std::vector<Picture>& pictures) {
  int64_t height = 0, width = 0;
  for (const Picture& p : pictures) {
    height = std::max(height, p.rgb.dim(0));
    width = std::max(width, p.rgb.dim(1));
  }
  for (Picture& p : pictures) {
    int64_t h = p.rgb.dim(0), w = p.rgb.dim(1), scale = width / w;
    check(h * scale == height && w * scale == width, p.name, ": ", w, "x", h, " does not enlarge to ", width,
          "x", height, " by a whole number");
    if (scale == 1) continue;
    p.rgb = to_u8(imresize(to_float(p.rgb), static_cast<double>(scale)));
    p.name += " (bicubic x" + std::to_string(scale) + ")";
  }
}

// Sum of absolute differences between neighbours: how much there is to see.
double detail(const Tensor& x, const Box& crop) {
  Tensor part = cut(x, crop);
  const uint8_t* p = part.data<uint8_t>();
  double sum = 0;
  for (int64_t r = 1; r < crop.height; ++r)
    for (int64_t i = 3; i < crop.width * 3; ++i) {
      int64_t at = r * crop.width * 3 + i;
      sum += std::abs(p[at] - p[at - 3]) + std::abs(p[at] - p[at - crop.width * 3]);
    }
  return sum;
}

// A sixth of the picture's width, where there is most detail, off the borders.
Box choose_crop(const Tensor& x) {
  int64_t height = x.dim(0), width = x.dim(1),
          side = std::max<int64_t>(1, std::min({width / 6, height / 2, kColumn / 2}));
  side = std::max<int64_t>(side, std::min<int64_t>({48, width, height}));
  Box best{(width - side) / 2, (height - side) / 2, side, side};
  double most = -1;
  for (int64_t y = side / 2; y + 3 * side / 2 <= height; y += std::max<int64_t>(1, side / 2))
    for (int64_t left = side / 2; left + 3 * side / 2 <= width; left += std::max<int64_t>(1, side / 2)) {
      Box crop{left, y, side, side};
      double seen = detail(x, crop);
      if (seen > most) {
        most = seen;
        best = crop;
      }
    }
  return best;
}

Box box_of(const std::string& text, const Tensor& x) {
  return text.empty() ? choose_crop(x) : parse_crop(text, x.dim(1), x.dim(0));
}

// Each pixel a square, so that the eye sees pixels and no second interpolation.
Tensor zoomed(const Tensor& x, int64_t zoom) {
  Tensor y({x.dim(0) * zoom, x.dim(1) * zoom, 3}, DType::u8);
  for (int64_t r = 0; r < y.dim(0); ++r)
    for (int64_t c = 0; c < y.dim(1); ++c)
      std::copy_n(x.data<uint8_t>() + (r / zoom * x.dim(1) + c / zoom) * 3, 3,
                  y.data<uint8_t>() + (r * y.dim(1) + c) * 3);
  return y;
}

void paste(const Tensor& from, const Tensor& onto, int64_t y, int64_t x) {
  for (int64_t r = 0; r < from.dim(0); ++r)
    std::copy_n(from.data<uint8_t>() + r * from.dim(1) * 3, from.dim(1) * 3,
                onto.data<uint8_t>() + ((y + r) * onto.dim(1) + x) * 3);
}

// Upper row: the whole pictures; lower row: the crop, its pixels enlarged.
Tensor make_strip(const std::vector<Picture>& pictures, const Box& crop) {
  int64_t height = pictures[0].rgb.dim(0), width = pictures[0].rgb.dim(1);
  int64_t zoom = std::max<int64_t>(1, kColumn / crop.width);
  int64_t whole_width = std::min(width, kColumn), column = std::max(whole_width, crop.width * zoom);
  int64_t whole_height = std::max<int64_t>(1, height * whole_width / width);
  auto n = static_cast<int64_t>(pictures.size());
  Tensor strip = Tensor::full({whole_height + crop.height * zoom + 3 * kGap, n * (column + kGap) + kGap, 3},
                              255, DType::u8);
  for (int64_t i = 0; i < n; ++i) {
    const Tensor& rgb = pictures[static_cast<size_t>(i)].rgb;
    Tensor whole = whole_width == width ? rgb : to_u8(imresize(to_float(rgb), whole_height, whole_width));
    int64_t left = kGap + i * (column + kGap);
    paste(whole, strip, kGap, left);
    paste(zoomed(cut(rgb, crop), zoom), strip, 2 * kGap + whole_height, left);
  }
  return strip;
}

void run_compare(const CompareOptions& options) {
  std::string ending = std::filesystem::path(options.output).extension().string();
  bool page = ending == ".html" || ending == ".htm";
  check(page || is_image_name(options.output), "output ", options.output,
        ": expects a .html page or a .png strip");
  std::vector<Picture> pictures;
  for (const std::string& file : options.pictures) {
    std::error_code none;
    check(!std::filesystem::equivalent(file, options.output, none), "output ", options.output,
          " would overwrite an input; choose another output");
    pictures.push_back({std::filesystem::path(file).filename().string(), read_rgb8(file)});
  }
  match_sizes(pictures);
  if (pictures.size() == 3)
    for (size_t i = 0; i < 2; ++i)
      std::printf("%s: PSNR-Y %.3f dB, SSIM-Y %.4f against %s, border 0\n", pictures[i].name.c_str(),
                  psnr(pictures[i].rgb, pictures[2].rgb, 0, true),
                  ssim(pictures[i].rgb, pictures[2].rgb, 0, true), pictures[2].name.c_str());
  if (page) {
    write_page(options.output, pictures);
  } else {
    Box crop = box_of(options.crop, pictures.back().rgb);
    write_image(options.output, {to_float(make_strip(pictures, crop)), 8});
    std::printf("from left:");
    for (const Picture& p : pictures) std::printf(" %s;", p.name.c_str());
    std::printf(" crop %lld,%lld,%lld,%lld\n", static_cast<long long>(crop.x), static_cast<long long>(crop.y),
                static_cast<long long>(crop.width), static_cast<long long>(crop.height));
  }
}

}  // namespace

void add_compare(CLI::App& app) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command = add_command(
      app, "compare", "Show pictures of one scene side by side: a page with a slider, or a strip",
      "dgp compare photo.jpg photo_x4.png -o look.html\n  dgp compare a.png b.png sharp.png -o strip.png");
  command->add_option("picture", options->pictures, "two pictures, and the sharp original if there is one")
      ->required()
      ->expected(2, 3);
  command->add_option("-o,--output", options->output, "page.html, or strip.png")->required();
  command->add_option("--crop", options->crop,
                      "x,y,width,height shown enlarged; none: where there is most detail");
  command->callback([options] { run_compare(*options); });
}

}  // namespace dgp

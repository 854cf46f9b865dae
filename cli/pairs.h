// Pairs of low- and high-resolution pictures for `dgp eval`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace dgp {

struct PictureSource {
  std::string folder;   // or one picture; empty: none
  std::string pattern;  // of file names, with one '*', the part that names the picture; empty: any image
};

struct Pair {
  std::string name;
  std::filesystem::path lr, hr;  // lr is empty where it is to be made from hr
};

// Pictures of the same name, in order. Throws Error(bad_file) that lists those without a partner.
std::vector<Pair> find_pairs(const PictureSource& hr, const PictureSource& lr);

}  // namespace dgp

// What lies in a root of pictures: the files of a folder, the values of an LMDB, or the lines of a list.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "train/sources.h"

namespace dgp {

using Files = std::map<std::string, std::string>;  // a picture's name -> its path

// The pictures of a folder or LMDB whose file names fit the pattern (one '*'; empty: every picture); a name
// is what '*' stands for, or the file name without its ending.
Files list_root(const std::string& root, const std::string& pattern, std::vector<Finding>& findings);

// The pictures that the file source.meta_info names, one a line, in either of the forms that BasicSR and
// Real-ESRGAN write, paths relative to the roots:
//   0001_s001.png (480,480,3)                       HR; LR is found by lr_pattern, or has the same name
//   HR/0001_s001.png, X4/0001_s001.png              HR, LR; without source.lr both lie in source.hr
std::vector<PicturePaths> list_meta_info(const SourceConfig& source, std::vector<Finding>& findings);

}  // namespace dgp

// Where training pictures lie: the files of a root, found and paired by name, by pattern or by a list. What
// is wrong with them is collected, not thrown, so that a user sees all of it at once.
#pragma once

#include <string>
#include <vector>

#include "image/image.h"
#include "train/config.h"

namespace dgp {

struct PicturePaths {
  std::string name, lr, hr;  // lr is empty for pictures degraded on the fly
};

// Something to know about a picture or a root. A problem keeps it from being used; a note does not.
struct Finding {
  std::string file;  // what it is about
  std::string kind;  // one word: folder, name, partner, unreadable, ratio, small, twice; notes: grey, alpha,
                     // depth, format, same
  std::string text;  // what was expected and what is there
  bool problem = true;
  std::string name = {};  // the picture's, where it is about one
};

// The pictures of a root in the order of their names; problems and notes are added to `findings`.
std::vector<PicturePaths> find_pictures(const SourceConfig& source, std::vector<Finding>& findings);

// A path is a file's, or that of a value in an LMDB (train/lmdb_reader.h). The size of what is there with its
// first and last bytes; all of its bytes; the picture's header; its pixels as u8 [H,W,3]. They throw as
// read_file, image_info and read_rgb8 do.
struct PictureFile {
  int64_t size;
  std::string beginning, end;
};
PictureFile picture_file(const std::string& path);
std::string picture_bytes(const std::string& path);
ImageInfo picture_info(const std::string& path);
Tensor read_picture(const std::string& path);

struct PictureSize {
  int64_t height, width;
};

// What an error of reading a picture says, without the name that it begins with.
Finding unreadable(const std::string& path, const Error& error, const std::string& name);

// What keeps a pair from being used, if anything: sizes not in the ratio `scale`, or smaller than `patch` LR
// pixels. lr is null for pictures degraded on the fly. Sets the finding when the result is true.
bool size_problem(const PicturePaths& paths, const PictureSize* lr, const PictureSize& hr, int64_t scale,
                  int64_t patch, Finding& finding);

// Throws Error(bad_file): `what`, then the problems among the findings, one a line, at most 50.
void fail_on_problems(const std::string& what, std::vector<Finding> findings);

}  // namespace dgp

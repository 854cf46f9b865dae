// LMDB data sets as BasicSR's create_lmdb.py writes them: a folder NAME.lmdb of data.mdb, lock.mdb and
// meta_info.txt; a key is a picture's file name without its ending, its value the bytes of a PNG file. A line
// of meta_info.txt is "baboon.png (120,125,3) 1": name, height, width, channels, PNG compression level.
// The database is mapped into memory by liblmdb, which trusts what it reads: open files that you trust.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace dgp {

bool lmdb_built();  // whether dgp was built with liblmdb

// A picture in an LMDB has the path "X.lmdb/key": folder and key; {path, ""} for a folder itself, {"", ""}
// for any other path.
std::pair<std::string, std::string> lmdb_parts(const std::string& path);

// These throw Error(bad_file) when the folder is no LMDB, and Error(invalid) when lmdb_built() is false.
std::vector<std::string> lmdb_keys(const std::string& folder);
bool lmdb_has(const std::string& folder, const std::string& key);
std::string lmdb_value(const std::string& folder, const std::string& key);  // bad_file: no such key

}  // namespace dgp

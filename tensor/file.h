// Files: whole-file reading with a limit, and writing that is all or nothing. A file under its final name is
// always complete: it is written under a temporary name beside it, synced, and renamed, as in Pillai et al.,
// "All File Systems Are Not Created Equal" (OSDI 2014).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dgp {

// The contents of a regular file. Throws Error(bad_file) when there is none or it is larger than max_bytes,
// Error(io) when reading fails.
std::string read_file(const std::string& path, int64_t max_bytes = int64_t{1} << 32);

// A regular file read in parts; errors as read_file's.
class FileReader {
 public:
  explicit FileReader(const std::string& path, int64_t max_bytes = int64_t{1} << 32);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  int64_t size() const { return size_; }
  void read(int64_t offset, void* bytes, size_t count) const;

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

class AtomicFile {
 public:
  // Opens a temporary file in the folder of `path`. A link is followed, and an existing file's permissions
  // are kept.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();  // removes the temporary file unless committed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Every failure throws Error(io), which says "disk full" when that is the reason.
  void write(const void* bytes, size_t count);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  void write_at(int64_t offset, const void* bytes, size_t count);  // leaves the place of write() alone
  void commit();  // syncs, renames onto `path`, syncs the folder

 private:
  [[noreturn]] void fail_io(const char* doing) const;

  std::string path_, temporary_;
  int fd_ = -1;
};

// The whole of a small file at once: AtomicFile, write, commit.
void write_file(const std::string& path, std::string_view bytes);

// A file without a name in temporary_folder(): it is gone with the object, or with the process. Positions are
// bytes from the start; calls on different parts may run side by side. Failures throw Error(io).
class TemporaryFile {
 public:
  explicit TemporaryFile(int64_t bytes);  // reserves them, so that a full disk is known before the work
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(int64_t offset, const void* bytes, size_t count) const;
  void read(int64_t offset, void* bytes, size_t count) const;

 private:
  [[noreturn]] void fail_io(const char* doing) const;

  std::string folder_;
  int64_t bytes_;
  int fd_ = -1;
};

// $TMPDIR, or /var/tmp: for what is too large for memory, which /tmp often is.
std::string temporary_folder();

// zlib's CRC-32 (that of PNG and gzip); `before` is the value for the bytes that came before.
uint32_t crc32(const void* bytes, size_t count, uint32_t before = 0);

}  // namespace dgp

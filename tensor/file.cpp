// Reading and atomic writing on POSIX calls: streams would hide which call failed and why.
#include "tensor/file.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tensor/error.h"

namespace dgp {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::string folder_of(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

// Some file systems cannot sync a folder and say so; that is no failure of the write.
bool sync_folder(const std::string& folder) {
  Descriptor d{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (d.fd < 0) return errno == EACCES;
  return ::fsync(d.fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

}  // namespace

std::string read_file(const std::string& path, int64_t max_bytes) {
  // O_NONBLOCK: opening a pipe that nobody writes must not hang before it can be refused.
  Descriptor d{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (d.fd < 0) fail(ErrorCode::bad_file, path, ": cannot open: ", std::strerror(errno));
  struct stat info;
  if (::fstat(d.fd, &info) != 0) fail(ErrorCode::io, path, ": ", std::strerror(errno));
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::bad_file, path, ": expected a regular file");
  if (info.st_size > max_bytes)
    fail(ErrorCode::bad_file, path, ": ", info.st_size, " bytes, expected at most ", max_bytes);
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  for (size_t done = 0; done < bytes.size();) {
    ssize_t n = ::read(d.fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::io, path, ": reading failed: ", std::strerror(errno));
    if (n == 0) fail(ErrorCode::bad_file, path, ": became shorter while it was read");
    done += static_cast<size_t>(n);
  }
  return bytes;
}

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_symlink(path_, ignored)) path_ = fs::weakly_canonical(path_).string();
  struct stat info;
  bool exists = ::stat(path_.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) fail(ErrorCode::io, path_, ": exists and is not a regular file");
  static std::atomic<uint64_t> counter{0};
  for (int attempt = 0; fd_ < 0 && attempt < 100; ++attempt) {
    // A short name of its own, so that a target with the longest legal name still works.
    temporary_ =
        folder_of(path_) + "/.dgp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) fail_io("cannot create");
  // An existing file keeps its permissions; where the file system has none to keep, nothing is lost.
  if (exists && ::fchmod(fd_, info.st_mode & 07777) != 0) errno = 0;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail_io(const char* doing) const {
  int why = errno;
  bool full = why == ENOSPC || why == EDQUOT;
  fail(ErrorCode::io, path_, ": ", doing, ": ", full ? "disk full: " : "", std::strerror(why));
}

void AtomicFile::write(const void* bytes, size_t count) {
  check(fd_ >= 0, path_, ": written after commit");
  const char* from = static_cast<const char*>(bytes);
  while (count > 0) {
    ssize_t n = ::write(fd_, from, count);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_io("writing failed");
    from += n;
    count -= static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  check(fd_ >= 0, path_, ": committed twice");
  if (::fsync(fd_) != 0) fail_io("syncing failed");
  int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) fail_io("closing failed");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_io("renaming failed");
  temporary_.clear();
  if (!sync_folder(folder_of(path_))) fail_io("syncing the folder failed");
}

void write_file(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

uint32_t crc32(const void* bytes, size_t count, uint32_t before) {
  return static_cast<uint32_t>(::crc32_z(before, static_cast<const Bytef*>(bytes), count));
}

}  // namespace dgp

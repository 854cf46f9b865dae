// Reading and atomic writing on POSIX calls: streams would hide which call failed and why.
#include "tensor/file.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>
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

// Writes at `offset`, or, where that is negative, at the file's own place. False: errno says why.
bool write_all(int fd, const void* bytes, size_t count, int64_t offset) {
  const char* from = static_cast<const char*>(bytes);
  while (count > 0) {
    ssize_t n = offset < 0 ? ::write(fd, from, count) : ::pwrite(fd, from, count, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    from += n;
    count -= static_cast<size_t>(n);
    if (offset >= 0) offset += n;
  }
  return true;
}

bool disk_full(int why) { return why == ENOSPC || why == EDQUOT; }

}  // namespace

FileReader::FileReader(const std::string& path, int64_t max_bytes) : path_(path) {
  // O_NONBLOCK: opening a pipe that nobody writes must not hang before it can be refused.
  Descriptor d{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (d.fd < 0) fail(ErrorCode::bad_file, path, ": cannot open: ", std::strerror(errno));
  struct stat info;
  if (::fstat(d.fd, &info) != 0) fail(ErrorCode::io, path, ": ", std::strerror(errno));
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::bad_file, path, ": expected a regular file");
  if (info.st_size > max_bytes)
    fail(ErrorCode::bad_file, path, ": ", info.st_size, " bytes, expected at most ", max_bytes);
  size_ = info.st_size;
  fd_ = std::exchange(d.fd, -1);
}

FileReader::~FileReader() { ::close(fd_); }

void FileReader::read(int64_t offset, void* bytes, size_t count) const {
  for (char* to = static_cast<char*>(bytes); count > 0;) {
    ssize_t n = ::pread(fd_, to, count, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::io, path_, ": reading failed: ", std::strerror(errno));
    if (n == 0) fail(ErrorCode::bad_file, path_, ": became shorter while it was read");
    to += n;
    offset += n;
    count -= static_cast<size_t>(n);
  }
}

std::string read_file(const std::string& path, int64_t max_bytes) {
  FileReader file(path, max_bytes);
  std::string bytes(static_cast<size_t>(file.size()), '\0');
  file.read(0, bytes.data(), bytes.size());
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
  fail(ErrorCode::io, path_, ": ", doing, ": ", disk_full(why) ? "disk full: " : "", std::strerror(why));
}

void AtomicFile::write(const void* bytes, size_t count) {
  check(fd_ >= 0, path_, ": written after commit");
  if (!write_all(fd_, bytes, count, -1)) fail_io("writing failed");
}

void AtomicFile::write_at(int64_t offset, const void* bytes, size_t count) {
  check(fd_ >= 0, path_, ": written after commit");
  if (!write_all(fd_, bytes, count, offset)) fail_io("writing failed");
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

std::string temporary_folder() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen && *chosen ? chosen : "/var/tmp";
}

TemporaryFile::TemporaryFile(int64_t bytes) : folder_(temporary_folder()), bytes_(bytes) {
  fd_ = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd_ < 0) {  // a file system without unnamed files
    std::string name = folder_ + "/.dgp-XXXXXX";
    fd_ = ::mkstemp(name.data());
    if (fd_ >= 0) ::unlink(name.c_str());
  }
  if (fd_ < 0) fail_io("cannot create a temporary file");
  // Asked first, since reserving takes all that there is before it fails. Where a file system cannot reserve,
  // writing will tell.
  struct statvfs room;
  bool fits =
      ::fstatvfs(fd_, &room) != 0 ||
      static_cast<double>(room.f_bavail) * static_cast<double>(room.f_frsize) >= static_cast<double>(bytes);
  if (!fits) errno = ENOSPC;
  if (fits && (::fallocate(fd_, 0, 0, bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)) return;
  int why = errno;
  ::close(fd_);
  errno = why;
  fail_io("cannot reserve a temporary file");
}

TemporaryFile::~TemporaryFile() { ::close(fd_); }

void TemporaryFile::fail_io(const char* doing) const {
  int why = errno;
  fail(ErrorCode::io, folder_, ": ", doing, " of ", (bytes_ + (1 << 20) - 1) >> 20,
       " MiB: ", disk_full(why) ? "disk full: " : "", std::strerror(why),
       "; set TMPDIR to a folder with more room");
}

void TemporaryFile::write(int64_t offset, const void* bytes, size_t count) const {
  if (!write_all(fd_, bytes, count, offset)) fail_io("cannot write a temporary file");
}

void TemporaryFile::read(int64_t offset, void* bytes, size_t count) const {
  char* to = static_cast<char*>(bytes);
  while (count > 0) {
    ssize_t n = ::pread(fd_, to, count, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) fail_io("cannot read a temporary file");
    to += n;
    offset += n;
    count -= static_cast<size_t>(n);
  }
}

uint32_t crc32(const void* bytes, size_t count, uint32_t before) {
  return static_cast<uint32_t>(::crc32_z(before, static_cast<const Bytef*>(bytes), count));
}

}  // namespace dgp

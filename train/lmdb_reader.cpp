#include "train/lmdb_reader.h"

#include "tensor/error.h"

#ifdef DGP_LMDB
#include <filesystem>
#include <lmdb.h>
#include <map>
#include <memory>
#include <mutex>
#endif

namespace dgp {

std::pair<std::string, std::string> lmdb_parts(const std::string& path) {
  constexpr std::string_view kEnding = ".lmdb";
  std::string folder = path;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  if (folder.ends_with(kEnding)) return {folder, ""};
  const size_t at = path.find(".lmdb/");
  if (at == std::string::npos) return {};
  return {path.substr(0, at + kEnding.size()), path.substr(at + kEnding.size() + 1)};
}

#ifdef DGP_LMDB

bool lmdb_built() { return true; }

namespace {

class Database {
 public:
  explicit Database(const std::string& folder) : folder_(folder) {
    check(mdb_env_create(&env_));
    // No locks: the data is read alone, perhaps from a disk that cannot be written, and by several threads.
    const int opened =
        mdb_env_open(env_, folder.c_str(), MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOTLS, 0);
    if (opened != 0) {
      mdb_env_close(env_);
      check(opened);
    }
    Reading reading(*this);
    const int found = mdb_dbi_open(reading.transaction, nullptr, 0, &table_);
    if (found != 0) mdb_env_close(env_);
    check(found);
  }
  ~Database() { mdb_env_close(env_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The value's bytes, or nothing.
  bool get(const std::string& key, std::string* value) {
    Reading reading(*this);
    MDB_val k{key.size(), const_cast<char*>(key.data())}, v{};
    const int found = mdb_get(reading.transaction, table_, &k, &v);
    if (found == MDB_NOTFOUND || found == MDB_BAD_VALSIZE) return false;
    check(found);
    if (value) value->assign(static_cast<const char*>(v.mv_data), v.mv_size);
    return true;
  }

  std::vector<std::string> keys() {
    Reading reading(*this);
    MDB_cursor* cursor = nullptr;
    check(mdb_cursor_open(reading.transaction, table_, &cursor));
    std::vector<std::string> all;
    MDB_val k{}, v{};
    int found = 0;
    while ((found = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
      all.emplace_back(static_cast<const char*>(k.mv_data), k.mv_size);
    mdb_cursor_close(cursor);
    if (found != MDB_NOTFOUND) check(found);
    return all;
  }

 private:
  struct Reading {  // a transaction, ended with the scope
    explicit Reading(Database& d) { d.check(mdb_txn_begin(d.env_, nullptr, MDB_RDONLY, &transaction)); }
    ~Reading() { mdb_txn_abort(transaction); }
    MDB_txn* transaction = nullptr;
  };
  void check(int result) const {
    if (result != 0)
      fail(ErrorCode::bad_file, folder_, ": expected an LMDB with data.mdb in it: ", mdb_strerror(result));
  }
  std::string folder_;
  MDB_env* env_ = nullptr;
  MDB_dbi table_ = 0;
};

// LMDB allows a process to open a database once only, so those that are open are known here.
std::shared_ptr<Database> open_database(const std::string& folder) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<Database>> open;
  std::error_code error;
  const std::string real = std::filesystem::canonical(folder, error).string();
  if (error) fail(ErrorCode::bad_file, folder, ": cannot open: ", error.message());
  std::lock_guard lock(mutex);
  auto& database = open[real];
  if (!database) database = std::make_shared<Database>(folder);
  return database;
}

}  // namespace

std::vector<std::string> lmdb_keys(const std::string& folder) { return open_database(folder)->keys(); }

bool lmdb_has(const std::string& folder, const std::string& key) {
  return open_database(folder)->get(key, nullptr);
}

std::string lmdb_value(const std::string& folder, const std::string& key) {
  std::string value;
  if (!open_database(folder)->get(key, &value))
    fail(ErrorCode::bad_file, folder, "/", key, ": the LMDB has no such key");
  return value;
}

#else

bool lmdb_built() { return false; }

namespace {
[[noreturn]] void refuse(const std::string& folder) {
  fail(ErrorCode::invalid, folder,
       ": this dgp was built without LMDB; install liblmdb-dev, configure and build again, or unpack the "
       "pictures");
}
}  // namespace

std::vector<std::string> lmdb_keys(const std::string& folder) { refuse(folder); }
bool lmdb_has(const std::string& folder, const std::string&) { refuse(folder); }
std::string lmdb_value(const std::string& folder, const std::string&) { refuse(folder); }

#endif

}  // namespace dgp

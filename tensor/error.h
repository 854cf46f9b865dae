// Every failure dgp reports is one exception type with a code; the program turns codes into exit statuses.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace dgp {

enum class ErrorCode {
  invalid = 2,   // wrong argument, shape, option or configuration
  bad_file = 3,  // a file that is not what it should be
  limit = 4,     // out of memory, or past a stated limit
  io = 5,        // reading or writing failed; disk full
  numeric = 6,   // not a number where a number must be
  locked = 75,   // another process owns the folder (sysexits' EX_TEMPFAIL)
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(code, text.str());
}

// Argument check: `check(c == k, "linear: weight ", to_string(s), " expects ", k, " features")`.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(ErrorCode::invalid, parts...);
}

}  // namespace dgp

// Values that are functions of a number, made once: by the first thread that asks, while others that ask for
// the same wait for it. Kept until they are forgotten.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>

namespace dgp {

template <class T>
class Numbered {
 public:
  using Made = std::shared_ptr<const T>;

  explicit Numbered(std::function<T(int64_t number)> make) : make_(std::move(make)) {}

  // Throws what making it threw, to all that ask.
  Made get(int64_t number) {
    std::promise<Made> promise;
    std::shared_future<Made> future;
    {
      std::lock_guard lock(mutex_);
      auto [at, fresh] = values_.try_emplace(number);
      if (fresh)
        at->second = promise.get_future().share();
      else
        future = at->second;
    }
    if (future.valid()) return future.get();
    try {
      auto made = std::make_shared<const T>(make_(number));
      promise.set_value(made);
      return made;
    } catch (...) {
      promise.set_exception(std::current_exception());
      throw;
    }
  }

  void forget_below(int64_t number) {
    std::lock_guard lock(mutex_);
    values_.erase(values_.begin(), values_.lower_bound(number));
  }

 private:
  std::function<T(int64_t)> make_;
  std::mutex mutex_;
  std::map<int64_t, std::shared_future<Made>> values_;
};

}  // namespace dgp

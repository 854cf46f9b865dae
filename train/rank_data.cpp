#include "train/rank_data.h"

#include "tensor/file.h"

namespace dgp {

void check_equal_pictures(const char* key, const Dataset& data, Ranks& ranks) {
  uint32_t crc = 0;
  for (const Picture& p : data.pictures()) {
    const std::string text =
        p.name + " " + std::to_string(p.hr.width) + "x" + std::to_string(p.hr.height) + "\n";
    crc = crc32(text.data(), text.size(), crc);
  }
  const auto count = static_cast<double>(data.pictures().size());
  std::vector<double> expected{count, static_cast<double>(crc)};
  ranks.broadcast(expected);
  if (expected[0] != count || expected[1] != static_cast<double>(crc))
    fail(ErrorCode::bad_file, key, ": ", count, " pictures here, ", expected[0],
         " in the first rank, or others: every rank needs the same files");
}

Dataset load_for_ranks(const TrainConfig& config, const std::function<void(const std::string&)>& message,
                       Ranks& ranks) {
  const bool in_turn = !config.data.pack.empty();
  if (in_turn && !ranks.first()) ranks.wait();
  Dataset data(config.data.train, {config.model.scale, config.data.patch, config.data.cache << 20,
                                   config.data.pack, ranks.first() ? message : nullptr});
  if (in_turn && ranks.first()) ranks.wait();
  check_equal_pictures("data.train", data, ranks);
  return data;
}

BatchPart part_of_batch(const TrainConfig& config, const Ranks& ranks) {
  const int64_t n = config.data.batch, count = ranks.size();
  const int64_t begin = n * ranks.rank() / count, end = n * (ranks.rank() + 1) / count;
  return {begin, end - begin};
}

}  // namespace dgp

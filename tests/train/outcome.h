// What a run must leave whether or not it was interrupted on its way.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "train/checkpoint.h"
#include "train/config.h"

// The state after the last step and
// the losses of the log.
inline std::string outcome(const dgp::TrainConfig& config) {
  using namespace dgp;
  SafeTensors last = read_safetensors(list_checkpoints(config.folder() + "/checkpoints").at(0));
  for (const char* key : {"seconds", "checksum", "config", "configuration"}) last.metadata.erase(key);
  std::ostringstream text;
  for (const std::string& bytes : {safetensors_bytes(last), read_file(config.folder() + "/last.safetensors")})
    text << crc32(bytes.data(), bytes.size()) << "\n";
  std::istringstream lines(read_file(config.folder() + "/metrics.jsonl"));
  std::string line;
  while (std::getline(lines, line)) {
    auto json = nlohmann::json::parse(line);
    for (const char* key : {"seconds", "it_per_s", "waiting", "communicating"}) json.erase(key);
    text << json << "\n";
  }
  return text.str();
}

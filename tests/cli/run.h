// Runs the dgp program as a process, through the shell.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/wait.h>

#include "tests/temp_folder.h"

struct Outcome {
  int status;  // exit status; 128 + signal when one ended it
  std::string out, err;
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// `before` stands before the program: "ulimit -v 1000000;", "timeout 1".
inline Outcome dgp_run(const std::string& arguments, const std::string& before = "") {
  TempFolder folder;
  std::string command = before + " '" DGP_PROGRAM "' " + arguments + " >'" + folder / "out" + "' 2>'" +
                        folder / "err" + "' </dev/null";
  int status = std::system(command.c_str());
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, contents(folder / "out"), contents(folder / "err")};
}

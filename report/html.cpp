#include "report/html.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "image/image.h"
#include "image/png_writer.h"
#include "report/style.h"
#include "tensor/file.h"

namespace dgp {

std::string escaped(const std::string& text) {
  std::string safe;
  for (char c : text) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else
      safe += c;
  }
  return safe;
}

std::string base64(const std::string& bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) word = word << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? digits[word >> (18 - 6 * j) & 63U] : '=';
  }
  return text;
}

std::string number(double value, int digits) {
  std::ostringstream text;
  text.precision(digits);
  text << value;
  return text.str();
}

std::string decimals(double value, int decimals) {
  if (std::isinf(value)) return "equal";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string with_sign(double value, int digits) {
  if (!std::isfinite(value)) return "";
  const std::string size = decimals(std::abs(value), digits);
  const bool zero = size.find_first_not_of("0.") == std::string::npos;
  return (zero ? "±" : value < 0 ? "−" : "+") + size;
}

std::string png_uri(const Tensor& x) {
  return "data:image/png;base64," + base64(png_bytes(x.dtype() == DType::u8 ? to_float(x) : x));
}

std::string png_file_uri(const std::string& path) {
  if (!std::filesystem::exists(path)) return "";
  return "data:image/png;base64," + base64(read_file(path));
}

std::string page(const std::string& title, const std::string& body) {
  return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\"><title>" +
         escaped(title) + "</title>" + kStyle + "</head><body><main>\n" + body + "</main>" + kScript +
         "</body></html>\n";
}

}  // namespace dgp

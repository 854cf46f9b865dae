// Pages for people: one HTML file that opens anywhere, without a network, light or dark as the reader's
// system is. Everything is inline: style, script, pictures as PNG data.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace dgp {

std::string escaped(const std::string& text);  // for HTML, attributes too
std::string base64(const std::string& bytes);
std::string number(double value, int digits = 4);   // that many significant digits
std::string decimals(double value, int decimals);   // that many after the point; "equal" when infinite
std::string with_sign(double value, int decimals);  // "+0.31", "−0.02"

// A picture as the source of an <img>. x: u8 or f32 in [0,1], [H,W,C], C = 1 to 4.
std::string png_uri(const Tensor& x);
// The same of a file that is a PNG already; nothing when there is no such file.
std::string png_file_uri(const std::string& path);

// The whole document. `title` is plain text, `body` HTML.
std::string page(const std::string& title, const std::string& body);

}  // namespace dgp

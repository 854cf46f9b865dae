#include "models/parts.h"

#include <algorithm>
#include <iterator>

namespace dgp {

std::vector<Operator> operators_left(const std::vector<Operator>& operators, const Without& without) {
  std::vector<Operator> left;
  std::copy_if(operators.begin(), operators.end(), std::back_inserter(left),
               [&](Operator op) { return !without.contains(static_cast<Part>(op)); });
  return left.empty() ? std::vector{Operator::vc} : left;
}

}  // namespace dgp

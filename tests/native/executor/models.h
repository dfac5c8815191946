// One small model of each kind, written out by hand so that the native tests need no Python.
#pragma once

#include <cstdint>
#include <string>

namespace penstock::testing {

// Two trees over three features, the second with a categorical split: raw score = tree 0 + tree 1.
// Tree 0: x0 <= 0.5 ? -1 : (x1 <= 2 ? 10 : 20). Tree 1: x2 in {1, 3} ? 0.5 : 0.25.
inline std::string lightgbm_text() {
  const std::string first =
      "Tree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\nsplit_gain=2 1\nthreshold=0.5 2\n"
      "decision_type=2 2\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=-1 10 20\nleaf_weight=1 1 1\n"
      "leaf_count=1 1 1\ninternal_value=0 0\ninternal_weight=0 0\ninternal_count=3 2\nis_linear=0\n"
      "shrinkage=1\n\n\n";
  const std::string second =
      "Tree=1\nnum_leaves=2\nnum_cat=1\nsplit_feature=2\nsplit_gain=1\nthreshold=0\ndecision_type=1\n"
      "left_child=-1\nright_child=-2\nleaf_value=0.5 0.25\nleaf_weight=1 1\nleaf_count=1 1\n"
      "internal_value=0\ninternal_weight=0\ninternal_count=2\ncat_boundaries=0 1\ncat_threshold=10\n"
      "is_linear=0\nshrinkage=1\n\n\n";
  return "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=2\n"
         "objective=regression\nfeature_names=a b c\nfeature_infos=[0:1] [0:4] 0:1:2:3\ntree_sizes=" +
         std::to_string(first.size()) + " " + std::to_string(second.size()) + "\n\n" + first + second +
         "end of trees\n\nfeature_importances:\n";
}

namespace protobuf {
inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
inline std::string number(std::uint64_t field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
inline std::string bytes(std::uint64_t field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
}  // namespace protobuf

// y = x + x and t = s, for FP32 x [n, 2] and strings s [n]; field numbers are those of onnx.proto.
inline std::string onnx_model() {
  using protobuf::bytes;
  using protobuf::number;
  const auto node = [](const std::string& first, const std::string& second, const std::string& output,
                       const std::string& operation) {
    return bytes(1, first) + (second.empty() ? "" : bytes(1, second)) + bytes(2, output) +
           bytes(4, operation);
  };
  const auto value = [](const std::string& name, std::uint64_t element, bool matrix) {
    const std::string rows = bytes(1, bytes(2, "n"));
    const std::string shape = matrix ? rows + bytes(1, number(1, 2)) : rows;
    return bytes(1, name) + bytes(2, bytes(1, number(1, element) + bytes(2, shape)));
  };
  constexpr std::uint64_t kFloat = 1;
  constexpr std::uint64_t kString = 8;
  const std::string graph = bytes(1, node("x", "x", "y", "Add")) + bytes(1, node("s", "", "t", "Identity")) +
                            bytes(2, "test") + bytes(11, value("x", kFloat, true)) +
                            bytes(11, value("s", kString, false)) + bytes(12, value("y", kFloat, true)) +
                            bytes(12, value("t", kString, false));
  return number(1, 9) + bytes(7, graph) + bytes(8, bytes(1, "") + number(2, 17));
}

}  // namespace penstock::testing

#include "executor/forest_order.h"

namespace penstock::executor {

// Not recursive: a tree may be as deep as it has splits.
LeafOrder::LeafOrder(const Tree& tree) : spans(tree.splits.size()) {
  struct Visit {
    std::int32_t split;
    enum { kLeft, kRight, kDone } next;
  };
  std::vector<Visit> path;
  const auto enter = [&](std::int32_t child) {
    if (child < 0) {
      leaves.push_back(static_cast<std::uint32_t>(~child));
    } else {
      path.push_back({child, Visit::kLeft});
    }
  };
  const auto position = [&] { return static_cast<std::uint32_t>(leaves.size()); };
  enter(tree.splits.empty() ? ~0 : 0);
  while (!path.empty()) {
    Visit& visit = path.back();
    const auto index = static_cast<std::size_t>(visit.split);
    switch (visit.next) {
      case Visit::kLeft:
        spans[index].begin = position();
        visit.next = Visit::kRight;
        enter(tree.splits[index].left);
        break;
      case Visit::kRight:
        spans[index].middle = position();
        visit.next = Visit::kDone;
        enter(tree.splits[index].right);
        break;
      case Visit::kDone:
        spans[index].end = position();
        path.pop_back();
        break;
    }
  }
}

}  // namespace penstock::executor

#include "base/scheduling.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace penstock {
namespace {

constexpr std::uint64_t kShortSliceNs = 100'000;  // the least that the kernel gives
constexpr std::int32_t kNiceness = 10;            // nice(2): a tenth of the share of one that answers

// The kernel's struct sched_attr (sched_setattr(2)), which older C libraries do not have.
struct Attributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime_ns;
  std::uint64_t deadline_ns;
  std::uint64_t period_ns;
};

template <typename Change>
void change(Change&& apply) noexcept {
  Attributes attributes{};
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  apply(attributes);
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

void ask_for_short_slices() noexcept {
  change([](Attributes& attributes) { attributes.runtime_ns = kShortSliceNs; });
}

void yield_to_short_slices() noexcept {
  change([](Attributes& attributes) {
    attributes.policy = SCHED_BATCH;  // waking up is no reason to go first
    if (attributes.nice < kNiceness) attributes.nice = kNiceness;
  });
}

}  // namespace penstock

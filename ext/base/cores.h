// Cores: how many of the machine's this process may use.
#pragma once

#include <optional>
#include <string>

namespace penstock {

// What the process's control groups let it use of the processors, as whole cores, rounded up: the tightest
// quota from its own group to the top of the hierarchy, as far as that is mounted here. Nothing where none is
// set. Version 2 (cpu.max) and version 1 (cpu.cfs_quota_us, cpu.cfs_period_us) of the kernel's
// Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst. `root` is where /proc and all mount
// points are looked for: "" but for tests.
std::optional<unsigned> cpu_quota(const std::string& root = "");

// How many threads can run at once: the cores that the calling thread may be scheduled on (a cpuset,
// taskset), or its quota, whichever is less. At least 1.
unsigned usable_cores();

}  // namespace penstock

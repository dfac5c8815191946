#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace penstock {
namespace {

// A hierarchy of control groups that may hold a quota, and the process's place in it.
struct Place {
  bool unified;  // version 2
  std::string path;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(std::move(part));
  return parts;
}

bool names_cpu(const std::string& list) { return std::ranges::count(split(list, ','), "cpu") > 0; }

// /proc/self/cgroup: lines `number:controllers:path`, see cgroups(7). Version 2 has the number 0 and names no
// controllers.
std::vector<Place> places(const std::string& root) {
  std::vector<Place> found;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (unified || names_cpu(controllers)) found.push_back({unified, line.substr(second + 1)});
  }
  return found;
}

// What mountinfo has written as \ and three octal digits.
std::string unescaped(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    unsigned code = 0;
    if (text.front() == '\\' && text.size() >= 4 &&
        std::from_chars(text.data() + 1, text.data() + 4, code, 8).ptr == text.data() + 4) {
      plain += static_cast<char>(code);
      text.remove_prefix(4);
    } else {
      plain += text.front();
      text.remove_prefix(1);
    }
  }
  return plain;
}

// A mounted part of a hierarchy: what lies at `point` is the group `top`.
struct Mount {
  bool unified;
  std::string top;
  std::string point;
};

// /proc/self/mountinfo, see proc_pid_mountinfo(5): `id parent device top point options [more ...] - type
// source super`, where the super options of version 1 name the controllers.
std::vector<Mount> mounts(const std::string& root) {
  std::vector<Mount> found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> mount = split(line.substr(0, dash), ' ');
    const std::vector<std::string> system = split(line.substr(dash + 3), ' ');
    if (mount.size() < 5 || system.empty()) continue;
    const bool unified = system.front() == "cgroup2";
    const bool has_cpu = system.front() == "cgroup" && system.size() >= 3 && names_cpu(system[2]);
    if (unified || has_cpu) found.push_back({unified, unescaped(mount[3]), unescaped(mount[4])});
  }
  return found;
}

// The numbers at the beginning of a file, two at most: of `max 100000`, none.
std::vector<std::int64_t> numbers(const std::string& file) {
  std::ifstream stream(file);
  std::vector<std::int64_t> found;
  std::int64_t number = 0;
  while (found.size() < 2 && stream >> number) found.push_back(number);
  return found;
}

// Of one group, in cores; nothing where it has no limit.
std::optional<unsigned> quota_of(const Mount& mount, const std::string& folder) {
  std::vector<std::int64_t> times;  // that may be used, of how much
  if (mount.unified) {
    times = numbers(folder + "/cpu.max");
  } else {
    times = numbers(folder + "/cpu.cfs_quota_us");
    std::ranges::copy(numbers(folder + "/cpu.cfs_period_us"), std::back_inserter(times));
  }
  if (times.size() != 2 || times[0] <= 0 || times[1] <= 0) return std::nullopt;
  const std::int64_t cores = times[0] / times[1] + (times[0] % times[1] > 0 ? 1 : 0);
  return static_cast<unsigned>(std::clamp<std::int64_t>(cores, 1, CPU_SETSIZE));
}

// Where the process's group lies below the mount point. A group that the mount does not show is another
// namespace's: then the mount point is the nearest that can be seen, as in most containers of version 1.
std::string below(const Mount& mount, const std::string& path) {
  const std::string top = mount.top == "/" ? "" : mount.top;
  if (!path.starts_with(top + "/") || path.find("/..") != std::string::npos) return "";
  return path.size() == top.size() + 1 ? "" : path.substr(top.size());
}

}  // namespace

std::optional<unsigned> cpu_quota(const std::string& root) {
  std::optional<unsigned> least;
  const std::vector<Mount> mounted = mounts(root);
  for (const Place& place : places(root)) {
    for (const Mount& mount : mounted) {
      if (mount.unified != place.unified) continue;
      for (std::string group = below(mount, place.path);; group.resize(group.rfind('/'))) {
        const std::optional<unsigned> quota = quota_of(mount, root + mount.point + group);
        if (quota) least = std::min(*quota, least.value_or(*quota));
        if (group.empty()) break;
      }
    }
  }
  return least;
}

unsigned usable_cores() {
  cpu_set_t set;
  const bool known =
      ::sched_getaffinity(0, sizeof set, &set) == 0;  // not where the kernel knows more than 1024
  const unsigned cores = known ? static_cast<unsigned>(CPU_COUNT(&set)) : std::thread::hardware_concurrency();
  return std::max(1U, std::min(cores, cpu_quota().value_or(cores)));
}

}  // namespace penstock

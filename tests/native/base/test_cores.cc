#include <doctest/doctest.h>
#include <sched.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/cores.h"

using penstock::cpu_quota;
using penstock::usable_cores;

namespace {

namespace fs = std::filesystem;

// A tree as /proc and the mount points of control groups have it.
class Tree {
 public:
  Tree() {
    std::string name = (fs::temp_directory_path() / "penstock-cores-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    root_ = name;
  }
  ~Tree() { fs::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text;
  }
  std::optional<unsigned> quota() const { return cpu_quota(root_); }

 private:
  std::string root_;
};

constexpr const char* kUnified =
    "24 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

struct Unified : Tree {
  explicit Unified(const std::string& group) {
    write("/proc/self/mountinfo", kUnified);
    write("/proc/self/cgroup", "0::" + group + "\n");
  }
  void limit(const std::string& group, const std::string& text) const {
    write("/sys/fs/cgroup" + group + "/cpu.max", text);
  }
};

}  // namespace

TEST_CASE("a container's quota counts as whole cores, rounded up") {
  const Unified tree("/");
  tree.limit("", "200000 100000\n");
  CHECK(tree.quota() == 2U);
  tree.limit("", "150000 100000\n");
  CHECK(tree.quota() == 2U);
  tree.limit("", "1000 100000\n");
  CHECK(tree.quota() == 1U);
}

TEST_CASE("without a quota nothing is limited") {
  const Unified tree("/kubepods/pod/container");
  CHECK(!tree.quota());
  tree.limit("/kubepods/pod/container", "max 100000\n");
  tree.limit("/kubepods", "max 100000\n");
  CHECK(!tree.quota());
  CHECK(!Tree().quota());
}

TEST_CASE("the tightest quota on the way up counts, and none beside it") {
  const Unified tree("/kubepods/pod/container");
  tree.limit("/kubepods/pod/container", "800000 100000\n");
  CHECK(tree.quota() == 8U);
  tree.limit("/kubepods/pod", "300000 100000\n");
  CHECK(tree.quota() == 3U);
  tree.limit("/kubepods", "6400000 100000\n");
  tree.limit("/kubepods/pod/other", "100000 100000\n");
  CHECK(tree.quota() == 3U);
  tree.limit("/kubepods/pod/container", "50000 100000\n");
  CHECK(tree.quota() == 1U);
}

TEST_CASE("quotas of version 1 are read where the cpu controller is mounted") {
  const Tree tree;
  tree.write("/proc/self/cgroup",
             "12:cpuset:/\n5:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/x\n");
  tree.write("/proc/self/mountinfo",
             "30 24 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
             "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n");
  const std::string group = "/sys/fs/cgroup/cpu,cpuacct/docker/abc";
  tree.write(group + "/cpu.cfs_period_us", "50000\n");
  tree.write(group + "/cpu.cfs_quota_us", "-1\n");
  CHECK(!tree.quota());
  tree.write(group + "/cpu.cfs_quota_us", "200000\n");
  CHECK(tree.quota() == 4U);
}

TEST_CASE("a mount that shows only a part of the hierarchy is looked at from its top on") {
  const Tree tree;
  tree.write("/proc/self/cgroup", "5:cpu:/docker/abc/inner\n");
  tree.write("/proc/self/mountinfo", "31 24 0:27 /docker/abc /sys/fs/c\\040g rw - cgroup cgroup rw,cpu\n");
  tree.write("/sys/fs/c g/cpu.cfs_quota_us", "400000\n");
  tree.write("/sys/fs/c g/cpu.cfs_period_us", "100000\n");
  CHECK(tree.quota() == 4U);
  tree.write("/sys/fs/c g/inner/cpu.cfs_quota_us", "300000\n");
  tree.write("/sys/fs/c g/inner/cpu.cfs_period_us", "100000\n");
  CHECK(tree.quota() == 3U);
}

TEST_CASE("a group that the mount does not show leaves the mount point") {
  for (const char* group : {"/../../other", "/docker/abcdef", "/elsewhere"}) {
    const Tree tree;
    tree.write("/proc/self/cgroup", std::string("0::") + group + "\n");
    tree.write("/proc/self/mountinfo", "30 24 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    tree.write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    CHECK(tree.quota() == 2U);
  }
}

TEST_CASE("what cannot be made out limits nothing") {
  for (const char* text : {"", "max", "200000", "0 100000", "200000 0", "-5 100000", "none at all",
                           "99999999999999999999 100000"}) {
    const Unified tree("/");
    tree.limit("", text);
    CHECK_MESSAGE(!tree.quota(), text);
  }
  const Tree tree;
  tree.write("/proc/self/cgroup", "0\n::\n\nnonsense:\n");
  tree.write("/proc/self/mountinfo", "- \n1 2 3 - cgroup2\n30 24 0:26 / /sys/fs/cgroup rw -\n");
  tree.write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  CHECK(!tree.quota());
}

TEST_CASE("a thread that may use one core alone uses one") {
  CHECK(usable_cores() >= 1);
  unsigned found = 0;
  std::thread([&] {
    cpu_set_t mine;
    REQUIRE(::sched_getaffinity(0, sizeof mine, &mine) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &mine)) ++first;
    CPU_ZERO(&mine);
    CPU_SET(first, &mine);
    REQUIRE(::sched_setaffinity(0, sizeof mine, &mine) == 0);
    found = usable_cores();
  }).join();
  CHECK(found == 1);
}

// How a loop waits for events.
#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <thread>

#include "base/clock.h"
#include "net/poller.h"

using namespace penstock;
using namespace penstock::net;

namespace {

constexpr std::int64_t kMs = 1'000'000;

// A poller that watches a counter under the number 7.
struct Watched {
  explicit Watched(std::int64_t spin_ns) : poller(spin_ns), counter(::eventfd(0, EFD_NONBLOCK)) {
    REQUIRE(poller.open());
    REQUIRE(poller.watch(counter.get(), EPOLLIN, 7));
  }
  void signal() const {
    const std::uint64_t one = 1;
    REQUIRE(::write(counter.get(), &one, sizeof one) == sizeof one);
  }
  void clear() const {
    std::uint64_t count = 0;
    REQUIRE(::read(counter.get(), &count, sizeof count) == sizeof count);
  }
  int wait(std::int64_t wait_ns, bool may_spin = true) { return poller.wait(events, wait_ns, may_spin); }
  // Waits that find something at once, until looking pays.
  void convince() {
    signal();
    for (int i = 0; i < 200; ++i) REQUIRE(wait(-1) == 1);
    clear();
  }
  // Waits for what another thread signals in a millisecond; whether this one slept meanwhile.
  bool sleeps_until_signalled(bool may_spin) {
    std::thread other([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      signal();
    });
    rusage before{};
    rusage after{};
    ::getrusage(RUSAGE_THREAD, &before);
    const int count = wait(-1, may_spin);
    ::getrusage(RUSAGE_THREAD, &after);
    other.join();
    clear();
    CHECK(count == 1);
    return after.ru_nvcsw > before.ru_nvcsw;
  }

  Poller poller;
  Fd counter;
  std::array<epoll_event, 8> events{};
};

std::int64_t thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

TEST_CASE("an event comes with the number that its descriptor was watched under") {
  Watched watched(0);
  watched.signal();
  REQUIRE(watched.wait(-1) == 1);
  CHECK(std::uint64_t{watched.events[0].data.u64} == 7);

  watched.poller.forget(watched.counter.get());
  CHECK(watched.wait(kMs) == 0);
}

TEST_CASE("a wait ends at its time, whether it looks or sleeps") {
  for (const std::int64_t spin_ns : {std::int64_t{0}, 2 * kMs, 1000 * kMs}) {
    CAPTURE(spin_ns);
    Watched watched(spin_ns);
    watched.convince();
    const std::int64_t began = monotonic_ns();
    CHECK(watched.wait(10 * kMs) == 0);
    CHECK(monotonic_ns() - began >= 10 * kMs);
  }
}

TEST_CASE("where looking pays, an event within the window is taken without sleeping") {
  Watched watched(20'000 * kMs);
  watched.convince();
  CHECK_FALSE(watched.sleeps_until_signalled(true));
}

TEST_CASE("it sleeps where it may not look") {
  Watched watched(20'000 * kMs);
  watched.convince();
  CHECK(watched.sleeps_until_signalled(false));
}

TEST_CASE("it sleeps where looking has not paid yet") {
  Watched watched(20'000 * kMs);
  CHECK(watched.sleeps_until_signalled(true));
}

TEST_CASE("behind the window it sleeps") {
  Watched watched(kMs);
  watched.convince();
  const std::int64_t cpu = thread_cpu_ns();
  CHECK(watched.wait(100 * kMs) == 0);
  CHECK(thread_cpu_ns() - cpu < 50 * kMs);
}

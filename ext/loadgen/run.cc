#include "loadgen/run.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "base/clock.h"

namespace penstock::loadgen {

namespace {

constexpr std::int64_t kLeadNs = 50'000'000;  // for the threads to start in

Status checked(const Plan& plan) {
  if (plan.bodies.empty()) return invalid_argument("a run needs a request");
  if (std::ranges::any_of(plan.bodies, [](const Body& body) { return body.answers.size() > kMostAnswers; }))
    return invalid_argument("a request may have at most 64 right answers");
  if (plan.threads == 0 || plan.connections < plan.threads)
    return invalid_argument("each thread needs a connection");
  if (plan.open && !(plan.open->rate > 0 && plan.open->rate <= 1e9))
    return invalid_argument("the rate is above 0, and at most 1e9 a second");
  if (std::ranges::any_of(plan.cores, [](int core) { return core < 0 || core >= CPU_SETSIZE; }))
    return invalid_argument("a core is a number from 0 to " + std::to_string(CPU_SETSIZE - 1));
  if (!plan.open && plan.closed.streams == 0) return invalid_argument("a connection needs a stream");
  return Status::ok();
}

// The calling thread runs there, and at ordinary priority even where the program does not.
void place(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<std::size_t>(core), &cores);
  const sched_param ordinary{};
  int error = ::pthread_setaffinity_np(::pthread_self(), sizeof cores, &cores);
  if (error == 0) error = ::pthread_setschedparam(::pthread_self(), SCHED_OTHER, &ordinary);
  if (error != 0)
    throw std::runtime_error("cannot run on core " + std::to_string(core) + ": " + std::strerror(error));
}

}  // namespace

Run::Run(Plan plan) : plan_(std::move(plan)), headers_(plan_.headers) {}

Run::~Run() {
  stop();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

Status Run::start() {
  PENSTOCK_RETURN_IF_ERROR(checked(plan_));
  try {
    stop_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_.valid()) throw std::runtime_error(std::string("eventfd: ") + std::strerror(errno));
    for (unsigned share = 0; share < plan_.threads; ++share)
      generators_.push_back(std::make_unique<Generator>(plan_, headers_, stop_.get(), share));
    for (const auto& generator : generators_) generator->settle();
    const std::int64_t start_ns = monotonic_ns() + kLeadNs;
    running_ = generators_.size();
    for (std::size_t share = 0; share < generators_.size(); ++share)
      threads_.emplace_back([this, share, start_ns] { run_share(share, start_ns); });
  } catch (const std::exception& error) {
    stop();
    return {Code::kUnavailable, error.what()};
  }
  return Status::ok();
}

void Run::run_share(std::size_t share, std::int64_t start_ns) {
  std::string failure;
  try {
    if (!plan_.cores.empty()) place(plan_.cores[share % plan_.cores.size()]);
    generators_[share]->run(start_ns);
  } catch (const std::exception& error) {
    failure = error.what();
    stop();
  }
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = failure;
  --running_;
  over_.notify_all();
}

bool Run::wait(std::int64_t timeout_ns) {
  {
    std::unique_lock lock(mutex_);
    if (!over_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [this] { return running_ == 0; }))
      return false;
  }
  if (outcome_ == nullptr) collect();
  return true;
}

void Run::stop() noexcept {
  if (stop_.valid()) ::eventfd_write(stop_.get(), 1);
}

void Run::collect() {
  for (std::thread& thread : threads_) thread.join();
  if (!failure_.empty()) status_ = {Code::kInternal, failure_};
  outcome_ = std::make_unique<Outcome>(plan_.bodies, plan_.deadline_ns, plan_.trace);
  for (const auto& generator : generators_) {
    outcome_->merge(generator->outcome());
    totals_.merge(generator->totals());
  }
}

std::uint64_t Run::sent() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& generator : generators_) sum += generator->sent();
  return sum;
}

std::uint64_t Run::answered() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& generator : generators_) sum += generator->answered();
  return sum;
}

}  // namespace penstock::loadgen

// Generator: sends requests at an even rate on its own clock, whatever the answers take (an open loop), and
// takes the answers. One thread; run() is all of its life.
//
// Request n is due at start + n / rate and goes to connection n modulo their number. A latency counts from
// when its request was due, so that a stall shows in every request that it holds up, sent or not.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "load/connection.h"
#include "load/outcomes.h"

namespace penstock::load {

struct Plan {
  std::string host;
  std::string port;
  double rate = 0;  // requests a second, over all connections
  int connections = 1;
  double seconds = 0;  // 0: until `stop_fd` can be read or is at its end
  int stop_fd = -1;
  double patience_s = 5;  // how long to wait for the last answers
  bool trace = false;     // keep and write each request's times
};

class Generator final : public Ended {
 public:
  // Connects. Throws std::runtime_error.
  Generator(const Plan& plan, Request request, std::vector<std::string> answers);
  ~Generator() override;

  // Sends and receives until the time is over or the stop comes, then waits for the answers that are missing.
  void run();

  // Of what run() did.
  void write(std::ostream& out) const { outcomes_.write(out, due_, seconds_); }

  void on_ended(Call& call, std::uint32_t error_code) noexcept override;

 private:
  std::int64_t due_at(std::uint64_t number) const noexcept;
  void send_due(std::int64_t now);
  // Serves sockets until `until` at the latest, by the monotonic clock; true when the stop has come.
  bool wait(std::int64_t until);
  void serve(std::size_t index, std::uint32_t events);

  Plan plan_;
  Request request_;
  Outcomes outcomes_;
  int epoll_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<bool> blocked_;  // by connection: EPOLLOUT is asked for
  std::deque<Call> calls_;     // all there are; their addresses stay
  std::vector<Call*> free_;
  std::uint64_t due_ = 0;     // requests so far
  std::uint64_t unsent_ = 0;  // of them, those that no connection took
  std::int64_t start_ = 0;
  double seconds_ = 0;
};

}  // namespace penstock::load

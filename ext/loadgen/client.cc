#include "loadgen/client.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace penstock::loadgen {

Client::Client(const Endpoint& endpoint, std::int64_t patience_ns, int epoll, std::size_t number,
               const HeaderBlock& headers, Connection::Receiver& receiver)
    : patience_ns_(patience_ns), epoll_(epoll), number_(number), headers_(headers), receiver_(receiver) {
  Reached reached = reach(endpoint, patience_ns);
  address_ = reached.address;
  connection_ = std::make_unique<Connection>(std::move(reached.socket), epoll, number, headers, receiver);
}

bool Client::submit(Call& call) noexcept {
  if (connection_ != nullptr && connection_->submit(call)) return true;
  if (down_) return false;
  waiting_.push(call);
  return true;
}

void Client::cancel(Call& call) {
  if (call.connection != nullptr)
    call.connection->cancel(call);
  else
    waiting_.remove(call);
}

Call* Client::take_failed() noexcept { return down_ && !waiting_.empty() ? &waiting_.pop() : nullptr; }

bool Client::mend(std::int64_t now, bool wanted) {
  for (const auto& each : leaving_) each->flush();
  std::erase_if(leaving_, [](const auto& each) { return !each->open() || each->idle(); });
  if (connection_ != nullptr && !connection_->settled() && now - connection_->opened_ns() > patience_ns_)
    connection_->close("the peer does not answer as an HTTP/2 server");
  if (connection_ != nullptr && connection_->settled())
    reconnects_ += std::exchange(unproven_, false) ? 1 : 0;
  if (connection_ != nullptr && !connection_->takes()) retire(now);
  if (connection_ == nullptr && now >= retry_ns_ && (wanted || !waiting_.empty())) reopen(now);
  if (connection_ == nullptr) return false;
  while (!waiting_.empty() && connection_->takes()) connection_->submit(waiting_.pop());
  connection_->flush();
  return connection_->takes() && connection_->settled() && leaving_.empty();
}

void Client::retire(std::int64_t now) {
  const bool settled = connection_->settled();
  const std::int64_t opened_ns = connection_->opened_ns();
  // One that lived for a while without a request served its turn.
  down_ = !settled || (!connection_->answered() && now - opened_ns < kRetryNs);
  retry_ns_ = down_ ? opened_ns + kRetryNs : now;
  reason_ = connection_->reason();
  if (connection_->open()) leaving_.push_back(std::move(connection_));
  connection_.reset();
}

void Client::reopen(std::int64_t now) {
  Fd socket = begin_to_reach(address_);
  if (!socket.valid()) {
    reason_ = std::strerror(errno);
    down_ = true;
    retry_ns_ = now + kRetryNs;
    return;
  }
  connection_ = std::make_unique<Connection>(std::move(socket), epoll_, number_, headers_, receiver_);
  down_ = false;
  unproven_ = true;
}

}  // namespace penstock::loadgen

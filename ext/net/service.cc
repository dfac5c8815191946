#include "net/service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "codec/grpc_message.h"
#include "codec/small_messages.h"

namespace penstock::net {
namespace {

constexpr std::size_t kMaxServiceName = 255;

// The names under which the server as a whole answers health checks.
bool is_server(std::string_view service) noexcept {
  return service.empty() || service == "inference.GRPCInferenceService" || service == "grpc.health.v1.Health";
}

}  // namespace

const engine::Snapshot& Service::snapshot() { return *reader_.get(); }

bool Service::ready() { return snapshot().ready && !shared_.draining.load(std::memory_order_relaxed); }

void Service::on_message(Stream& stream, std::span<const std::byte> message) {
  switch (stream.method->rpc) {
    case Rpc::kInfer:
    case Rpc::kStreamInfer:
      return inference_.take(stream, message, snapshot());
    case Rpc::kServerLive:
      return server_live(stream, message);
    case Rpc::kServerReady:
      return server_ready(stream, message);
    case Rpc::kModelReady:
      return model_ready(stream, message);
    case Rpc::kHealthCheck:
      return health_check(stream, message);
    case Rpc::kHealthWatch:
      return health_watch(stream, message);
    case Rpc::kBridgedUnary:
    case Rpc::kBridgedStream:
      return bridge(stream, message);
  }
}

void Service::on_half_close(Stream& stream) { stream.session->finish(stream, Status::ok()); }

void Service::on_closed(Stream& stream) noexcept {
  inference_.forget(stream);
  if (!stream.watched) return;
  watchers_[stream.watcher] = watchers_.back();
  watchers_[stream.watcher]->watcher = stream.watcher;
  watchers_.pop_back();
}

void Service::server_live(Stream& stream, std::span<const std::byte>) {
  reply(stream, codec::FramedReply::ready(true));
}

void Service::server_ready(Stream& stream, std::span<const std::byte>) {
  reply(stream, codec::FramedReply::ready(ready()));
}

void Service::model_ready(Stream& stream, std::span<const std::byte> message) {
  codec::ModelReadyRequest request;
  Status status = codec::decode_model_ready_request(message, &request);
  if (!status.is_ok()) return stream.session->finish(stream, std::move(status));
  engine::Snapshot::Found found;
  status = snapshot().find(request.name, request.version, &found);
  // Known but not ready is an answer, not an error.
  if (!status.is_ok() && status.code() != Code::kUnavailable) {
    return stream.session->finish(stream, std::move(status));
  }
  reply(stream, codec::FramedReply::ready(status.is_ok()));
}

codec::ServingStatus Service::health_of(std::string_view service) {
  using codec::ServingStatus;
  ServingStatus status = ServingStatus::kServiceUnknown;
  if (is_server(service)) {
    status = ready() ? ServingStatus::kServing : ServingStatus::kNotServing;
  } else {
    engine::Snapshot::Found found;
    const Status known = snapshot().find(service, "", &found);
    if (known.is_ok()) {
      status = shared_.draining.load(std::memory_order_relaxed) ? ServingStatus::kNotServing
                                                                : ServingStatus::kServing;
    } else if (known.code() == Code::kUnavailable) {
      status = ServingStatus::kNotServing;
    }
  }
  return status;
}

void Service::health_check(Stream& stream, std::span<const std::byte> message) {
  std::string_view service;
  Status status = codec::decode_health_check_request(message, &service);
  if (!status.is_ok()) return stream.session->finish(stream, std::move(status));
  const codec::ServingStatus health = health_of(service);
  if (health == codec::ServingStatus::kServiceUnknown) {
    return stream.session->finish(
        stream, {Code::kNotFound, "no service or model '" + std::string(service.substr(0, 200)) +
                                      "' is here; '' asks for the server, a model's name for that model"});
  }
  reply(stream, codec::FramedReply::health(health));
}

void Service::health_watch(Stream& stream, std::span<const std::byte> message) {
  std::string_view service;
  Status status = codec::decode_health_check_request(message, &service);
  if (status.is_ok() && service.size() > kMaxServiceName) {
    status =
        invalid_argument("a service name of " + std::to_string(service.size()) +
                         " bytes came; no model's name is longer than " + std::to_string(kMaxServiceName));
  }
  if (!status.is_ok()) return stream.session->finish(stream, std::move(status));
  if (shared_.draining.load(std::memory_order_relaxed)) {
    send_framed(stream, codec::FramedReply::health(codec::ServingStatus::kNotServing).bytes());
    return stream.session->finish(stream, {Code::kUnavailable, Session::kStopping});
  }
  stream.watcher = watchers_.size();
  watchers_.push_back(&stream);
  stream.path.assign(service);  // the method's path is not needed any more
  stream.watched = health_of(stream.path);
  send_framed(stream, codec::FramedReply::health(*stream.watched).bytes());
}

void Service::tell_watcher(Stream& stream) {
  const codec::ServingStatus health = health_of(stream.path);
  if (health != stream.watched && !stream.finished) {
    stream.watched = health;
    send_framed(stream, codec::FramedReply::health(health).bytes());
  }
  if (shared_.draining.load(std::memory_order_relaxed)) {
    stream.session->finish(stream, {Code::kUnavailable, Session::kStopping});
  }
}

bool Service::adopt() {
  reader_.get();
  for (Stream* watcher : watchers_) {
    try {
      tell_watcher(*watcher);
    } catch (...) {
      watcher->session->lose();
    }
  }
  return !watchers_.empty();
}

void Service::bridge(Stream& stream, std::span<const std::byte> message) {
  BridgedCall call{loop_, stream.session->connection(), stream.id, stream.method->path,
                   std::string(reinterpret_cast<const char*>(message.data()), message.size())};
  if (!shared_.bridge->push(std::move(call))) {
    return stream.session->finish(stream,
                                  {Code::kResourceExhausted, "too many calls wait for the control plane"});
  }
  ++stream.waiting;
}

void Service::answer(Stream& stream, Status status, std::string_view reply_bytes) {
  if (stream.waiting == 0 || stream.finished) return;
  --stream.waiting;
  if (!status.is_ok()) return stream.session->finish(stream, std::move(status));
  std::vector<std::byte> bytes = stream.session->buffer();
  bytes.resize(codec::kPrefixBytes + reply_bytes.size());
  codec::write_prefix(std::span(bytes).first<codec::kPrefixBytes>(),
                      static_cast<std::uint32_t>(reply_bytes.size()));
  std::ranges::copy(std::as_bytes(std::span(reply_bytes)), bytes.begin() + codec::kPrefixBytes);
  stream.session->send(stream, Message(std::move(bytes)));
  if (!stream.method->takes_stream()) return stream.session->finish(stream, Status::ok());
  stream.session->resume(stream);
}

void Service::reply(Stream& stream, const codec::FramedReply& framed) {
  send_framed(stream, framed.bytes());
  stream.session->finish(stream, Status::ok());
}

void Service::send_framed(Stream& stream, std::span<const std::byte> framed) {
  std::vector<std::byte> bytes = stream.session->buffer();
  bytes.assign(framed.begin(), framed.end());
  stream.session->send(stream, Message(std::move(bytes)));
}

}  // namespace penstock::net

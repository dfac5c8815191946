#include "load/outcomes.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace penstock::load {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escaped.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Prints what is given with `, ` between, as a JSON list or object.
class Sequence {
 public:
  explicit Sequence(std::ostream& out) : out_(out) {}
  std::ostream& next() {
    if (!first_) out_ << ", ";
    first_ = false;
    return out_;
  }

 private:
  std::ostream& out_;
  bool first_ = true;
};

void summary(std::ostream& out, const Histogram& histogram) {
  constexpr std::array<std::pair<const char*, double>, 4> quantiles{
      {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}};
  out << '{';
  for (const auto& [name, at] : quantiles)
    out << '"' << name << "\": " << static_cast<double>(histogram.quantile(at)) / 1e3 << ", ";
  out << "\"max\": " << static_cast<double>(histogram.max()) / 1e3 << '}';
}

void buckets(std::ostream& out, const Histogram& histogram) {
  Sequence list(out << '[');
  histogram.for_each(
      [&](std::int64_t bound, std::uint64_t count) { list.next() << '[' << bound << ", " << count << ']'; });
  out << ']';
}

}  // namespace

void Outcomes::ended(const Call& call, std::uint32_t error_code, std::int64_t now_ns) {
  const std::int64_t latency = now_ns - call.due_ns;
  latency_.add(latency);
  if (traced_) trace_.push_back({call.due_ns, call.late_ns, latency});
  if (error_code != 0) return lost("stream error " + std::to_string(error_code));
  if (call.http_status != 200) return lost("HTTP status " + std::to_string(call.http_status));
  if (call.grpc_status.empty()) return lost("no grpc-status");
  if (call.grpc_status != "0") return lost("grpc-status " + call.grpc_status);
  const auto found = std::find(answers_.begin(), answers_.end(), call.body);
  if (found == answers_.end()) return lost("another answer");
  ++answered_[static_cast<std::size_t>(found - answers_.begin())];
}

void Outcomes::write(std::ostream& out, std::uint64_t requests, double seconds) const {
  out.precision(15);  // microseconds to the nanosecond, for hours
  out << "{\"requests\": " << requests << ", \"seconds\": " << seconds << ", \"answers\": [";
  Sequence answers(out);
  for (const std::uint64_t count : answered_) answers.next() << count;
  out << "], \"failed\": {";
  Sequence failures(out);
  for (const auto& [reason, count] : failed_) failures.next() << quoted(reason) << ": " << count;
  summary(out << "}, \"latency_us\": ", latency_);
  summary(out << ", \"late_us\": ", late_);
  buckets(out << ", \"latency_histogram_ns\": ", latency_);
  buckets(out << ", \"late_histogram_ns\": ", late_);
  if (traced_) {
    Sequence trace(out << ", \"trace_ns\": [");
    for (const Times& each : trace_)
      trace.next() << '[' << each.due_ns << ", " << each.late_ns << ", " << each.latency_ns << ']';
    out << ']';
  }
  out << "}\n";
}

}  // namespace penstock::load

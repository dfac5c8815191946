// ModelInfer messages for tests, written field by field.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "codec/wire_reader.h"

namespace penstock::engine::testing {

inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes += static_cast<char>(value);
}

inline std::string field(std::uint32_t number, std::string_view content) {
  return varint(number << 3 | 2) + varint(content.size()) + std::string(content);
}

template <typename T>
std::string raw_bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::string raw_strings(const std::vector<std::string>& values) {
  std::string bytes;
  for (const std::string& value : values) {
    const auto size = static_cast<std::uint32_t>(value.size());
    bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
    bytes += value;
  }
  return bytes;
}

struct Tensor {
  std::string name;
  std::string datatype;
  std::vector<std::int64_t> shape;
  std::string raw;
};

struct Request {
  std::string model = "rows";
  std::string version;
  std::string id;
  std::vector<Tensor> inputs;
  std::vector<std::string> outputs;
  std::int64_t timeout_us = 0;
  std::string parameters;  // more of them, encoded

  std::string encode() const {
    std::string message = field(1, model);
    if (!version.empty()) message += field(2, version);
    if (!id.empty()) message += field(3, id);
    if (timeout_us > 0) {
      const std::string value = varint(2 << 3) + varint(static_cast<std::uint64_t>(timeout_us));
      message += field(4, field(1, "timeout") + field(2, value));
    }
    message += parameters;
    for (const Tensor& input : inputs) {
      std::string shape;
      for (const std::int64_t size : input.shape) shape += varint(static_cast<std::uint64_t>(size));
      message += field(5, field(1, input.name) + field(2, input.datatype) + field(3, shape));
    }
    for (const std::string& output : outputs) message += field(6, field(1, output));
    for (const Tensor& input : inputs) message += field(7, input.raw);
    return message;
  }
};

struct Answer {
  std::string model;
  std::string version;
  std::string id;
  std::map<std::string, std::string> parameters;
  std::vector<std::string> names;
  std::vector<std::string> raw;

  std::vector<double> doubles(std::size_t output = 0) const {
    std::vector<double> values(raw.at(output).size() / sizeof(double));
    if (!values.empty()) std::memcpy(values.data(), raw[output].data(), values.size() * sizeof(double));
    return values;
  }
};

// Throws where the message is no ModelInferResponse.
inline Answer decode_answer(std::string_view message) {
  using codec::as_text;
  Answer answer;
  codec::WireReader reader(std::as_bytes(std::span(message)));
  codec::WireField part;
  const auto each = [](codec::WireReader nested, auto&& visit) {
    codec::WireField inner;
    while (nested.next(&inner)) visit(inner);
    if (nested.failed()) throw std::runtime_error("no protobuf message");
  };
  while (reader.next(&part)) {
    switch (part.tag >> 3) {
      case 1:
        answer.model = as_text(part.bytes);
        break;
      case 2:
        answer.version = as_text(part.bytes);
        break;
      case 3:
        answer.id = as_text(part.bytes);
        break;
      case 4: {
        std::string key;
        std::string value;
        each(reader.nested(part.bytes), [&](const codec::WireField& entry) {
          if (entry.tag >> 3 == 1) key = as_text(entry.bytes);
          if (entry.tag >> 3 != 2) return;
          each(codec::WireReader(entry.bytes),
               [&](const codec::WireField& inner) { value = as_text(inner.bytes); });
        });
        answer.parameters[key] = value;
        break;
      }
      case 5:
        each(reader.nested(part.bytes), [&](const codec::WireField& output) {
          if (output.tag >> 3 == 1) answer.names.emplace_back(as_text(output.bytes));
        });
        break;
      case 6:
        answer.raw.emplace_back(as_text(part.bytes));
        break;
      default:
        break;
    }
  }
  if (reader.failed()) throw std::runtime_error("no protobuf message");
  return answer;
}

}  // namespace penstock::engine::testing

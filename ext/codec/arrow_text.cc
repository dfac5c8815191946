#include "codec/arrow_text.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace penstock::codec {
namespace {

// An element of a view array: its length, then the bytes themselves where they are few, else a prefix of
// them, the number of their buffer and the place in it.
struct View {
  std::int32_t size;
  char inlined[4];
  std::int32_t buffer;
  std::int32_t offset;
};
static_assert(sizeof(View) == 16);
constexpr std::int32_t kMostInlined = 12;
constexpr std::int64_t kFirstViewed = 2;  // buffers of a view array before those that views point into

Status refused(std::string_view why) {
  return invalid_argument("an Arrow array " + std::string(why) + "; text is expected");
}

template <typename T>
T load(const void* base, std::int64_t index) noexcept {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + index * static_cast<std::int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

// Where an empty string has no bytes to point to: null stands for a missing one.
StringRef reference(const char* data, std::int64_t size) noexcept {
  return {data == nullptr ? "" : data, size};
}

class Validity {
 public:
  explicit Validity(const ArrowArray& array) noexcept
      : bits_(array.null_count == 0 ? nullptr : static_cast<const std::uint8_t*>(array.buffers[0])) {}
  bool operator()(std::int64_t at) const noexcept {
    return bits_ == nullptr || (bits_[at / 8] >> (at % 8) & 1) != 0;
  }

 private:
  const std::uint8_t* bits_;  // null: every element is there
};

template <typename Offset>
Status read_offsets(const ArrowArray& array, StringRef missing, StringRef* out) {
  if (array.n_buffers < 3) return refused("of strings has too few buffers");
  const Validity valid(array);
  const void* offsets = array.buffers[1];
  const auto* bytes = static_cast<const char*>(array.buffers[2]);
  for (std::int64_t i = 0; i < array.length; ++i) {
    const std::int64_t at = array.offset + i;
    if (!valid(at)) {
      out[i] = missing;
      continue;
    }
    const std::int64_t begin = load<Offset>(offsets, at);
    const std::int64_t end = load<Offset>(offsets, at + 1);
    if (begin < 0 || end < begin) return refused("has offsets that decrease");
    out[i] = reference(bytes == nullptr ? nullptr : bytes + begin, end - begin);
  }
  return Status::ok();
}

Status read_views(const ArrowArray& array, StringRef missing, StringRef* out) {
  if (array.n_buffers < kFirstViewed) return refused("of string views has too few buffers");
  const Validity valid(array);
  const auto* views = static_cast<const char*>(array.buffers[1]);
  for (std::int64_t i = 0; i < array.length; ++i) {
    const std::int64_t at = array.offset + i;
    if (!valid(at)) {
      out[i] = missing;
      continue;
    }
    const auto view = load<View>(views, at);
    if (view.size < 0) return refused("has a string view of negative size");
    if (view.size <= kMostInlined) {
      out[i] = {views + at * static_cast<std::int64_t>(sizeof(View)) + offsetof(View, inlined), view.size};
      continue;
    }
    // The last buffer holds the sizes of those before it.
    if (view.buffer < 0 || view.buffer >= array.n_buffers - kFirstViewed - 1 || view.offset < 0) {
      return refused("has a string view that points nowhere");
    }
    out[i] = {static_cast<const char*>(array.buffers[kFirstViewed + view.buffer]) + view.offset, view.size};
  }
  return Status::ok();
}

template <typename Index>
Status read_indices(const ArrowArray& array, std::span<const StringRef> words, StringRef missing,
                    StringRef* out) {
  const Validity valid(array);
  for (std::int64_t i = 0; i < array.length; ++i) {
    const std::int64_t at = array.offset + i;
    if (!valid(at)) {
      out[i] = missing;
      continue;
    }
    // A negative index becomes one that is far too large.
    const auto index = static_cast<std::uint64_t>(load<Index>(array.buffers[1], at));
    if (index >= words.size()) return refused("has an index outside of its dictionary");
    out[i] = words[index];
  }
  return Status::ok();
}

Status read_plain(std::string_view format, const ArrowArray& array, StringRef missing, StringRef* out) {
  if (array.length < 0 || array.offset < 0) return refused("has a negative size");
  if (array.length == 0) return Status::ok();
  if (format == "u" || format == "z") return read_offsets<std::int32_t>(array, missing, out);
  if (format == "U" || format == "Z") return read_offsets<std::int64_t>(array, missing, out);
  if (format == "vu" || format == "vz") return read_views(array, missing, out);
  return refused("of the format '" + std::string(format) + "' came");
}

Status read_dictionary(const ArrowSchema& schema, const ArrowArray& array, StringRef missing,
                       StringRef* out) {
  if (array.dictionary == nullptr || array.n_buffers < 2) return refused("lacks its dictionary");
  if (array.length < 0 || array.offset < 0 || array.dictionary->length < 0)
    return refused("has a negative size");
  std::vector<StringRef> words(static_cast<std::size_t>(array.dictionary->length));
  PENSTOCK_RETURN_IF_ERROR(read_plain(schema.dictionary->format, *array.dictionary, missing, words.data()));
  switch (schema.format[0]) {
    case 'c':
      return read_indices<std::int8_t>(array, words, missing, out);
    case 'C':
      return read_indices<std::uint8_t>(array, words, missing, out);
    case 's':
      return read_indices<std::int16_t>(array, words, missing, out);
    case 'S':
      return read_indices<std::uint16_t>(array, words, missing, out);
    case 'i':
      return read_indices<std::int32_t>(array, words, missing, out);
    case 'I':
      return read_indices<std::uint32_t>(array, words, missing, out);
    case 'l':
      return read_indices<std::int64_t>(array, words, missing, out);
    case 'L':
      return read_indices<std::uint64_t>(array, words, missing, out);
    default:
      return refused("has indices of the format '" + std::string(schema.format) + "'");
  }
}

Status failed(ArrowArrayStream* stream, int error) {
  const char* said = stream->get_last_error(stream);
  return {Code::kInternal,
          std::string("an Arrow stream failed: ") + (said == nullptr ? std::strerror(error) : said)};
}

}  // namespace

Status read_arrow_text(ArrowArrayStream* stream, StringRef missing, std::span<StringRef> strings,
                       std::vector<OwnedArray>* kept) {
  OwnedSchema schema;
  if (const int error = stream->get_schema(stream, schema.get()); error != 0) return failed(stream, error);
  std::size_t filled = 0;
  while (true) {
    OwnedArray array;
    if (const int error = stream->get_next(stream, array.get()); error != 0) return failed(stream, error);
    if (!array) break;
    if (array->length < 0 || static_cast<std::size_t>(array->length) > strings.size() - filled) {
      return refused("is longer than the " + std::to_string(strings.size()) + " rows that were announced");
    }
    StringRef* const out = strings.data() + filled;
    PENSTOCK_RETURN_IF_ERROR(schema->dictionary == nullptr ? read_plain(schema->format, *array, missing, out)
                                                           : read_dictionary(*schema, *array, missing, out));
    filled += static_cast<std::size_t>(array->length);
    kept->push_back(std::move(array));
  }
  if (filled != strings.size()) {
    return refused("has " + std::to_string(filled) + " of the " + std::to_string(strings.size()) +
                   " rows that were announced");
  }
  return Status::ok();
}

}  // namespace penstock::codec

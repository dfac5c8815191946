// open-loop: gRPC requests at an even rate; every answer is checked. Prints one JSON object.
#include <getopt.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "load/generator.h"

namespace {

using namespace penstock::load;

constexpr const char* kUsage =
    R"(usage: open-loop --target HOST:PORT --path PATH --request FILE --answer FILE [--answer FILE ...]
                 [--rate N] [--connections N] [--seconds S] [--trace]

Sends the gRPC message in the file --request to --path, --rate times a second, evenly spread, however long the
answers take. Each must end with HTTP status 200, grpc-status 0 and a message equal to one of the files --answer.
Without --seconds it goes on until the standard input is at its end. Latencies count from when a request was due.

Prints the line "connected" before the first request is due, and at the end JSON: counts by answer and by failure,
latencies, and how late the requests were handed to the kernel; with --trace these two of each request.
)";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  Plan plan;
  Request request;
  std::vector<std::string> answers;
};

// A message with the prefix that gRPC puts before it: not compressed, 4 bytes of length.
std::string message(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UsageError("cannot read " + path);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(bytes.size() >> shift & 0xff);
  return out + bytes;
}

double positive(const char* name, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*text == '\0' || *end != '\0' || !(value > 0) || value > 1e7)
    throw UsageError(std::string(name) + " is '" + text + "', expected a number above 0");
  return value;
}

void set_target(Options& options, const std::string& target) {
  const std::size_t colon = target.rfind(':');
  if (colon == std::string::npos) throw UsageError("--target is '" + target + "', expected HOST:PORT");
  options.request.authority = target;
  options.plan.host = target.substr(0, colon);
  options.plan.port = target.substr(colon + 1);
}

Options parse(int argc, char** argv) {
  static constexpr std::array<option, 10> kOptions{{
      {"target", required_argument, nullptr, 't'},
      {"path", required_argument, nullptr, 'p'},
      {"request", required_argument, nullptr, 'r'},
      {"answer", required_argument, nullptr, 'a'},
      {"rate", required_argument, nullptr, 'n'},
      {"connections", required_argument, nullptr, 'c'},
      {"seconds", required_argument, nullptr, 's'},
      {"trace", no_argument, nullptr, 'e'},
      {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  }};
  Options options;
  options.plan.rate = 5000;
  options.plan.connections = 8;
  for (int found; (found = ::getopt_long(argc, argv, "", kOptions.data(), nullptr)) != -1;) {
    switch (found) {
      case 't':
        set_target(options, optarg);
        break;
      case 'p':
        options.request.path = optarg;
        break;
      case 'r':
        options.request.body = message(optarg);
        break;
      case 'a':
        options.answers.push_back(message(optarg));
        break;
      case 'n':
        options.plan.rate = positive("--rate", optarg);
        break;
      case 'c':
        options.plan.connections = static_cast<int>(positive("--connections", optarg));
        break;
      case 's':
        options.plan.seconds = positive("--seconds", optarg);
        break;
      case 'e':
        options.plan.trace = true;
        break;
      case 'h':
        std::cout << kUsage;
        std::exit(0);
      default:
        throw UsageError("");
    }
  }
  if (optind != argc) throw UsageError(std::string("unexpected: ") + argv[optind]);
  if (options.plan.host.empty() || options.request.path.empty() || options.request.body.empty() ||
      options.answers.empty())
    throw UsageError("--target, --path, --request and --answer are needed");
  if (options.plan.connections < 1) throw UsageError("--connections must be at least 1");
  if (options.plan.seconds == 0) options.plan.stop_fd = STDIN_FILENO;
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options = parse(argc, argv);
    Generator generator(options.plan, std::move(options.request), std::move(options.answers));
    std::cout << "connected" << std::endl;
    generator.run();
    generator.write(std::cout);
    return std::cout.flush() ? 0 : 1;
  } catch (const UsageError& error) {
    if (*error.what() != '\0') std::cerr << "open-loop: " << error.what() << '\n';
    std::cerr << kUsage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "open-loop: " << error.what() << '\n';
    return 1;
  }
}

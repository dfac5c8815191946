#include <doctest/doctest.h>

#include <random>
#include <string>

#include "loadgen/call.h"
#include "peer.h"

using namespace penstock::loadgen;
using namespace penstock::loadgen::testing;

namespace {

void take(Answer& answer, std::string_view bytes, std::size_t cut) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(cut, bytes.size()))) {
    const std::string_view part = bytes.substr(0, cut);
    answer.take({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
  }
}

}  // namespace

TEST_CASE("an answer is told from the others however it is cut, and from what only begins like one") {
  Body body;
  for (const char* message : {"one", "onerous", "two", ""}) body.answers.push_back(framed(message));
  const std::string one = framed("one");
  for (std::size_t cut = 1; cut < 14; ++cut) {
    Answer answer;
    for (std::size_t i = 0; i < body.answers.size(); ++i) {
      answer.reset(body);
      take(answer, body.answers[i], cut);
      CHECK(answer.whole());
      CHECK(answer.which() == i);
    }
    for (const std::string& other :
         {framed("onerou"), framed("three"), one.substr(0, 7), one + "x", std::string()}) {
      answer.reset(body);
      take(answer, other, cut);
      CHECK(answer.which() == kMostAnswers);
    }
  }
}

TEST_CASE("without expected answers, one whole message is one") {
  const Body body;
  const auto whole = [&](std::string_view bytes, std::size_t cut) {
    Answer answer;
    answer.reset(body);
    take(answer, bytes, cut);
    return answer.whole();
  };
  const std::string large = framed(std::string(70'000, 'x'));
  for (const std::size_t cut : {std::size_t{1}, std::size_t{3}, std::size_t{5}, large.size()}) {
    CHECK(whole(large, cut));
    CHECK(whole(framed(""), cut));
    CHECK_FALSE(whole(large.substr(0, large.size() - 1), cut));
    CHECK_FALSE(whole(large + "x", cut));
    CHECK_FALSE(whole(framed("").substr(0, 4), cut));
    CHECK_FALSE(whole("", cut));
  }
}

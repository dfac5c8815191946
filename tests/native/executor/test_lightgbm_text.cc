#include <doctest/doctest.h>

#include <random>

#include "executor/lightgbm_text.h"
#include "executor/models.h"

using penstock::Code;
using penstock::executor::check_lightgbm_text;
using penstock::testing::lightgbm_text;

TEST_CASE("a whole text is accepted") { CHECK(check_lightgbm_text(lightgbm_text()).message() == ""); }

TEST_CASE("a text cut anywhere before its end is refused") {
  const std::string whole = lightgbm_text();
  const std::size_t end = whole.find("end of trees") + std::string_view("end of trees").size();
  for (std::size_t cut = 0; cut < end; ++cut) {
    CHECK(check_lightgbm_text(std::string_view(whole).substr(0, cut)).code() == Code::kInvalidArgument);
  }
}

// The checker itself must not read outside of any text: this is for the sanitizers, on exact-size copies.
TEST_CASE("no damaged text is read outside its bounds") {
  const std::string whole = lightgbm_text();
  std::mt19937 random(7);
  int refused = 0;
  constexpr int kTrials = 20'000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<char> text(whole.begin(), whole.end());
    for (int change = trial % 4; change >= 0; --change) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text[at] = "0123456789-= \n.e"[random() % 16];
          break;
        default:
          text.resize(at + 1);
      }
    }
    text.shrink_to_fit();
    refused += check_lightgbm_text({text.data(), text.size()}).is_ok() ? 0 : 1;
  }
  CHECK(refused > kTrials / 2);
  CHECK(refused < kTrials);
}

TEST_CASE("random bytes are refused") {
  std::mt19937 random(9);
  for (int trial = 0; trial < 1000; ++trial) {
    std::string text(random() % 500, '\0');
    for (char& c : text) c = static_cast<char>(random());
    CHECK_FALSE(check_lightgbm_text(text).is_ok());
    CHECK_FALSE(check_lightgbm_text("tree\n" + text).is_ok());
  }
}

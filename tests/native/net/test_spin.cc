// Whether a loop looks for events before it sleeps, by what looking brought.
#include <doctest/doctest.h>

#include "net/spin.h"

using penstock::net::Spin;

namespace {

// How many of `waits` begin with a look, where each look finds something but every `miss_every`th.
int looks(Spin& spin, int waits, int miss_every) {
  int looked = 0;
  for (int i = 0; i < waits; ++i) {
    if (!spin.pays()) continue;
    ++looked;
    if (looked % miss_every == 0) {
      spin.missed();
    } else {
      spin.found();
    }
  }
  return looked;
}

}  // namespace

TEST_CASE("a window of none never looks") {
  Spin spin(0);
  CHECK(looks(spin, 10'000, 1'000'000) == 0);
}

TEST_CASE("as long as nothing was found, one wait of 64 looks") {
  Spin spin(50'000);
  CHECK(looks(spin, 64 * 100, 1) == 100);
}

TEST_CASE("once a look finds something, the next waits look too") {
  Spin spin(50'000);
  CHECK(looks(spin, 63, 1'000'000) == 0);
  CHECK(looks(spin, 1000, 1'000'000) == 1000);
}

TEST_CASE("where more than three of four looks find something, they go on") {
  Spin spin(50'000);
  CHECK(looks(spin, 10'000, 6) > 9'900);
}

TEST_CASE("where half of the looks find something, few waits look") {
  Spin spin(50'000);
  CHECK(looks(spin, 6'400, 2) < 500);
}

TEST_CASE("when requests become rare, it stops within a dozen waits, and begins again when they are not") {
  Spin spin(50'000);
  looks(spin, 10'000, 1'000'000);
  CHECK(looks(spin, 1'000, 1) < 30);
  CHECK(looks(spin, 1'000, 1'000'000) > 900);
}

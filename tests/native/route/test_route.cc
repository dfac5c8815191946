#include <doctest/doctest.h>

#include "route/route.h"

using penstock::route::Arm;
using penstock::route::Route;

TEST_CASE("an empty request takes the stable version; a name pins one") {
  Route route;
  REQUIRE(Route::make({"1", "2"}, "2", {{"champion", "1"}}, &route).is_ok());
  CHECK(route.pick("")->version == 1);
  CHECK(route.pick("")->arm == Arm::kStable);
  CHECK(route.pick("1")->version == 0);
  CHECK(route.pick("1")->arm == Arm::kPinned);
  CHECK(route.pick("champion")->version == 0);
  CHECK(route.pick("champion")->arm == Arm::kPinned);
  CHECK_FALSE(route.pick("3").has_value());
  CHECK(route.known() == "1, 2, champion");
}

TEST_CASE("names are told in natural order") {
  Route route;
  REQUIRE(
      Route::make({"10", "9", "v2-rc10", "v2-rc9", "1.10", "1.9", "007", "7"}, "9", {{"alpha", "10"}}, &route)
          .is_ok());
  CHECK(route.known() == "1.9, 1.10, 007, 7, 9, 10, alpha, v2-rc9, v2-rc10");
}

TEST_CASE("the alias stable is the stable arm") {
  Route route;
  REQUIRE(Route::make({"1", "2"}, "stable", {{"stable", "1"}}, &route).is_ok());
  CHECK(route.pick("")->version == 0);
  CHECK(route.pick("stable")->version == 0);
  CHECK(route.pick("stable")->arm == Arm::kStable);
}

TEST_CASE("without a stable version an empty request finds none") {
  Route route;
  REQUIRE(Route::make({"1"}, "", {}, &route).is_ok());
  CHECK_FALSE(route.pick("").has_value());
}

TEST_CASE("names that clash or stand for nothing are refused, and the route stays as it was") {
  Route route;
  REQUIRE(Route::make({"1"}, "1", {}, &route).is_ok());
  CHECK_FALSE(Route::make({"1", "1"}, "1", {}, &route).is_ok());
  CHECK_FALSE(Route::make({"1"}, "2", {}, &route).is_ok());
  CHECK_FALSE(Route::make({"1"}, "1", {{"champion", "9"}}, &route).is_ok());
  CHECK_FALSE(Route::make({"1"}, "1", {{"1", "1"}}, &route).is_ok());
  CHECK(route.pick("")->version == 0);
}

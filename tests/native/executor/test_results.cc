#include <doctest/doctest.h>

#include <utility>

#include "executor/executor.h"

using penstock::TensorView;
using penstock::executor::Results;

namespace {
void count(void* counter) { ++*static_cast<int*>(counter); }
}  // namespace

TEST_CASE("what is held is given back once, when the results go") {
  int given_back = 0;
  {
    Results results;
    CHECK_FALSE(results.holds());
    results.hold(&given_back, &count);
    results.hold(&given_back, &count);
    CHECK(results.holds());
    CHECK(given_back == 0);
  }
  CHECK(given_back == 2);
}

TEST_CASE("release gives back at once and not again later") {
  int given_back = 0;
  const TensorView tensor;
  {
    Results results;
    results.tensors = {&tensor, 1};
    results.hold(&given_back, &count);
    results.release();
    CHECK(given_back == 1);
    CHECK(results.tensors.empty());
    CHECK_FALSE(results.holds());
  }
  CHECK(given_back == 1);
}

TEST_CASE("a move carries what is held, and what the target held before is given back") {
  int first = 0;
  int second = 0;
  const TensorView tensor;
  {
    Results source;
    source.tensors = {&tensor, 1};
    source.hold(&first, &count);
    Results target;
    target.hold(&second, &count);
    target = std::move(source);
    CHECK(second == 1);
    CHECK(first == 0);
    CHECK(target.tensors.size() == 1);
    Results last(std::move(target));
    CHECK(last.holds());
    CHECK(first == 0);
  }
  CHECK(first == 1);
  CHECK(second == 1);
}

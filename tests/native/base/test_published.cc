#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/published.h"

using penstock::Published;

TEST_CASE("a reader sees nothing before the first publish, and the latest value after") {
  Published<int> published;
  Published<int>::Reader reader(published);
  CHECK(reader.get() == nullptr);
  published.publish(std::make_shared<int>(1));
  CHECK(*reader.get() == 1);
  published.publish(std::make_shared<int>(2));
  published.publish(std::make_shared<int>(3));
  CHECK(*reader.get() == 3);
  Published<int>::Reader late(published);
  CHECK(*late.get() == 3);
}

TEST_CASE("a value lives until the last reader looked again") {
  Published<int> published;
  Published<int>::Reader first(published);
  Published<int>::Reader second(published);
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = value;
  published.publish(std::move(value));
  first.get();
  second.get();
  published.publish(std::make_shared<int>(2));
  CHECK_FALSE(watch.expired());
  first.get();
  CHECK_FALSE(watch.expired());
  second.get();
  CHECK(watch.expired());
}

TEST_CASE("readers on other threads never go back, and nothing is left behind") {
  struct Value {
    explicit Value(int given, std::atomic<int>* count) : number(given), alive(count) { ++*alive; }
    ~Value() { --*alive; }
    int number;
    std::atomic<int>* alive;
  };
  std::atomic<int> alive{0};
  {
    Published<Value> published;
    published.publish(std::make_shared<Value>(0, &alive));
    std::atomic<bool> stop{false};
    std::atomic<int> backwards{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&] {
        Published<Value>::Reader reader(published);
        int last = 0;
        while (!stop.load(std::memory_order_relaxed)) {
          const int now = reader.get()->number;
          if (now < last) ++backwards;
          last = now;
        }
      });
    }
    for (int i = 1; i <= 5000; ++i) published.publish(std::make_shared<Value>(i, &alive));
    stop = true;
    for (std::thread& reader : readers) reader.join();
    CHECK(backwards == 0);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

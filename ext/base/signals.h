// Signals: which threads they come to.
#pragma once

#include <pthread.h>

#include <csignal>

namespace penstock {

// As long as it lives, no signal comes to the calling thread, nor ever to a thread that it starts meanwhile:
// threads inherit the mask. Signals belong to the control plane.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace penstock

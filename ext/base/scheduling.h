// Scheduling: how the calling thread shares its core with others. Requests to the system, which may not grant
// them; then nothing changes.
#pragma once

namespace penstock {

// For threads that answer within microseconds: a short slice. The scheduler lets a thread with a shorter
// slice go before one that is running (EEVDF, Linux 6.12), so that a request need not wait until a model that
// loads or runs on the same core has used up its own. Older kernels do nothing with it.
void ask_for_short_slices() noexcept;

// For threads whose work takes milliseconds: they go on where the others leave off, and never before them.
void yield_to_short_slices() noexcept;

}  // namespace penstock

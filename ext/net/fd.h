// Fd, under the name that this room knows it by.
#pragma once

#include "base/fd.h"

namespace penstock::net {

using penstock::Fd;

}  // namespace penstock::net

/* The C twin on a machine of as many processors as $PROCESSORS says (test_training.py). */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <unistd.h>

static long processors(void) { return atol(getenv("PROCESSORS")); }

#define sysconf(name) processors()
#include "../postgpt.c"

/* The C twin on a machine of as many processors as $PROCESSORS says (test_training.py). */
#define _XOPEN_SOURCE 700
#include <stdlib.h>
#include <unistd.h>

static long processors(void) { return atol(getenv("PROCESSORS")); }

#define sysconf(name) processors()
#include "../postgpt.c"

/* Preloaded, it interrupts a program twice just before a file takes its name (test_training.py). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *);
    *(void **)&real = dlsym(RTLD_NEXT, "rename");
    kill(getpid(), SIGINT);
    kill(getpid(), SIGINT);
    usleep(20000);
    return real(from, to);
}

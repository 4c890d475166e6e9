/* Preloaded, it interrupts a program twice while it saves (test_training.py): where the second temporary file is opened, the first
 * being the one that only tries, or where $INTERRUPT is "rename" just before the whole file takes its name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void interrupt(void) {
    kill(getpid(), SIGINT);
    kill(getpid(), SIGINT);
    usleep(20000);
}

static void opened(const char *path) {
    static int many;
    const size_t n = strlen(path);
    if (n > 4 && !strcmp(path + n - 4, ".tmp") && ++many == 2 && strcmp(getenv("INTERRUPT"), "rename")) interrupt();
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__); *(void **)&real = dlsym(RTLD_NEXT, name)
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list args; \
        va_start(args, flags); \
        const mode_t mode = (mode_t)va_arg(args, int); \
        va_end(args); \
        REAL(int, #name, const char *, int, ...); \
        opened(path); \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

FILE *fopen(const char *path, const char *how) {
    REAL(FILE *, "fopen", const char *, const char *);
    opened(path);
    return real(path, how);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (!strcmp(getenv("INTERRUPT"), "rename")) interrupt();
    return real(from, to);
}

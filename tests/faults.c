/* Preloaded, it lets one system call of a save fail, or interrupts the program twice just before it (test_trust.py,
 * test_training.py).
 *
 * $FAULT is "NAME N ERRNO": of the calls of that name that touch the file under way (a name ending in .tmp), the N-th
 * fails with ERRNO; 0: two SIGINTs come instead. A write that is to fail writes half first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int under_way = -1;

static int due(const char *name) {
    static int many;
    char wanted[32] = "";
    int n = 0, number = 0;
    const char *fault = getenv("FAULT");
    if (!fault || sscanf(fault, "%31s %d %d", wanted, &n, &number) != 3) return 0;
    if (strcmp(name, wanted) || ++many != n) return 0;
    if (number) { errno = number; return 1; }
    kill(getpid(), SIGINT);
    kill(getpid(), SIGINT);
    usleep(20000);
    return 0;
}

static int is_temporary(const char *path) {
    const size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".tmp");
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__); *(void **)&real = dlsym(RTLD_NEXT, name)
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list args; \
        va_start(args, flags); \
        const mode_t mode = (mode_t)va_arg(args, int); \
        va_end(args); \
        REAL(int, #name, const char *, int, ...); \
        if (!is_temporary(path)) return real(path, flags, mode); \
        return due("open") ? -1 : (under_way = real(path, flags, mode)); \
    }
OPEN(open)
OPEN(open64)

#define ON_FILE(type, name, call, more, ...) \
    type call(int file __VA_ARGS__) { \
        REAL(type, #call, int __VA_ARGS__); \
        return file == under_way && due(name) ? -1 : real(file more); \
    }
#define COMMA ,
ON_FILE(off_t, "lseek", lseek, COMMA at COMMA whence, COMMA off_t at COMMA int whence)
ON_FILE(off_t, "lseek", lseek64, COMMA at COMMA whence, COMMA off_t at COMMA int whence)
ON_FILE(int, "ftruncate", ftruncate, COMMA length, COMMA off_t length)
ON_FILE(int, "ftruncate", ftruncate64, COMMA length, COMMA off_t length)
ON_FILE(int, "fsync", fsync, ,)
ON_FILE(int, "chmod", fchmod, COMMA mode, COMMA mode_t mode)
ON_FILE(int, "close", close, ,)

#define FCNTL(name) \
    int name(int file, int what, ...) { \
        va_list args; \
        va_start(args, what); \
        void *how = va_arg(args, void *); \
        va_end(args); \
        REAL(int, #name, int, int, ...); \
        return file == under_way && due("lock") ? -1 : real(file, what, how); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

ssize_t write(int file, const void *data, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (file != under_way || !due("write")) return real(file, data, n);
    const int why = errno;
    if (real(file, data, n / 2) < 0) abort();
    errno = why;
    return -1;
}

int chmod(const char *path, mode_t mode) {
    REAL(int, "chmod", const char *, mode_t);
    return is_temporary(path) && due("chmod") ? -1 : real(path, mode);
}

int access(const char *path, int how) {
    REAL(int, "access", const char *, int);
    return !strcmp(path, "x") && due("access") ? -1 : real(path, how);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    return is_temporary(path) && due("unlink") ? -1 : real(path);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return due("rename") ? -1 : real(from, to);
}

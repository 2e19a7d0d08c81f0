/* Preloaded into a child: writes down, in one order, what it does to its write-ahead log and what it says.
 *
 *   W <file> <hex>   bytes are with the kernel
 *   B <file>         a sync begins
 *   S <file> <code>  a sync has ended, 0 is well
 *   A <text>         a line to standard output is about to leave
 *
 * Each line is one write to a file opened for appending, so the kernel keeps the order. TOCSIN_SHIM_FAIL_SYNC
 * names the sync, counted from 1, that fails with EIO without touching the disk, as do all behind it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int log_fd = -1;
static long fail_sync = 0;
static long syncs = 0;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TOCSIN_SHIM_LOG");
    const char *fail = getenv("TOCSIN_SHIM_FAIL_SYNC");
    if (path) log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fail) fail_sync = atol(fail);
}

/* The name of the write-ahead log behind fd, or 0. */
static const char *wal_name(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (log_fd < 0 || length < 4) return 0;
    path[length] = 0;
    if (strcmp(path + length - 4, ".log") != 0) return 0;
    char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void note(const char *line, size_t length) {
    if (log_fd >= 0 && syscall(SYS_write, log_fd, line, length) != (long)length) abort();
}

static void note_written(const char *name, const unsigned char *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    size_t head = strlen(name) + 3;
    char *line = malloc(head + 2 * length + 2);
    if (!line) abort();
    sprintf(line, "W %s ", name);
    for (size_t i = 0; i < length; i++) {
        line[head + 2 * i] = digits[bytes[i] >> 4];
        line[head + 2 * i + 1] = digits[bytes[i] & 15];
    }
    line[head + 2 * length] = '\n';
    note(line, head + 2 * length + 1);
    free(line);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[4096];
    if (fd == 1 && log_fd >= 0) {
        char *line = malloc(length + 2);
        if (!line) abort();
        memcpy(line, "A ", 2);
        memcpy(line + 2, bytes, length);
        note(line, length + 2);
        free(line);
    }
    ssize_t written = syscall(SYS_write, fd, bytes, length);
    int error = errno;
    const char *name = fd > 2 ? wal_name(fd, path, sizeof path) : 0;
    if (name && written > 0) note_written(name, bytes, (size_t)written);
    errno = error;
    return written;
}

/* RocksDB appends with write(2); another way would escape the log, so it must not be taken unseen. */
static void refuse_other_ways(int fd) {
    char path[4096];
    if (wal_name(fd, path, sizeof path)) abort();
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    refuse_other_ways(fd);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    refuse_other_ways(fd);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    refuse_other_ways(fd);
    return syscall(SYS_writev, fd, parts, count);
}

static int synced(int fd, long call) {
    char path[4096], line[256];
    const char *name = wal_name(fd, path, sizeof path);
    if (!name) return (int)syscall(call, fd);
    note(line, (size_t)snprintf(line, sizeof line, "B %s\n", name));
    long number = __sync_add_and_fetch(&syncs, 1);
    int fails = fail_sync > 0 && number >= fail_sync;
    int code = fails ? -1 : (int)syscall(call, fd);
    int error = fails ? EIO : errno;
    note(line, (size_t)snprintf(line, sizeof line, "S %s %d\n", name, code));
    errno = error;
    return code;
}

int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int fsync(int fd) { return synced(fd, SYS_fsync); }

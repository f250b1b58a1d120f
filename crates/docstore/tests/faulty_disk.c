/* A layer below the store's files, for tests: it stands between the program and the operating system
 * (LD_PRELOAD), notes every write, truncation, flush and removal of files in FAULTY_DIR in the file FAULTY_LOG,
 * and lets the directory hold no more bytes than the file FAULTY_LIMIT says.
 *
 * A record: kind ('w', 't', 's', 'u' for a removal), four bytes of the path's length, eight of the offset, four of the
 * data's length, the path, the data. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;

/* The path behind a descriptor, if it lies in the directory. */
static int is_ours(int fd, char *path, size_t size) {
    const char *dir = getenv("FAULTY_DIR");
    char link[64];
    if (dir == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, size - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return strncmp(path, dir, strlen(dir)) == 0;
}

static void put(const void *bytes, size_t len) {
    const char *at = bytes;
    while (len > 0) {
        long done = syscall(SYS_write, log_file, at, len);
        if (done <= 0) abort();
        at += done;
        len -= (size_t)done;
    }
}

static void note(char kind, const char *path, uint64_t offset, const void *data, uint32_t len) {
    const char *name = getenv("FAULTY_LOG");
    if (name == NULL) return;
    if (log_file < 0) log_file = open(name, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    uint32_t path_len = (uint32_t)strlen(path);
    char head[17];
    head[0] = kind;
    memcpy(head + 1, &path_len, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &len, 4);
    put(head, sizeof head);
    put(path, path_len);
    put(data, len);
}

/* Whether the directory may grow by so many bytes. */
static int has_room(int64_t growth) {
    const char *name = getenv("FAULTY_LIMIT"), *dir = getenv("FAULTY_DIR");
    if (name == NULL || growth <= 0) return 1;
    FILE *file = fopen(name, "r");
    long long limit = 0, used = 0;
    if (file == NULL) return 1;
    if (fscanf(file, "%lld", &limit) != 1) limit = INT64_MAX;
    fclose(file);
    DIR *list = opendir(dir);
    if (list == NULL) return 1;
    struct dirent *entry;
    struct stat info;
    while ((entry = readdir(list)) != NULL)
        if (fstatat(dirfd(list), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode))
            used += info.st_size;
    closedir(list);
    return used + growth <= limit;
}

static ssize_t put_at(int fd, const char *path, const void *data, size_t len, off_t at, int seeks) {
    struct stat info;
    ssize_t done = -1;
    pthread_mutex_lock(&guard);
    if (seeks) at = lseek(fd, 0, SEEK_CUR);
    int64_t growth = fstat(fd, &info) == 0 ? (int64_t)at + (int64_t)len - info.st_size : 0;
    if (!has_room(growth)) {
        errno = ENOSPC;
    } else {
        done = seeks ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, at);
        if (done > 0) note('w', path, (uint64_t)at, data, (uint32_t)done);
    }
    int error = errno;
    pthread_mutex_unlock(&guard);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t len) {
    char path[4096];
    if (!is_ours(fd, path, sizeof path)) return syscall(SYS_write, fd, data, len);
    return put_at(fd, path, data, len, 0, 1);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    char path[4096];
    if (!is_ours(fd, path, sizeof path)) return syscall(SYS_pwrite64, fd, data, len, at);
    return put_at(fd, path, data, len, at, 0);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return pwrite64(fd, data, len, at); }

int ftruncate64(int fd, off64_t len) {
    char path[4096];
    if (!is_ours(fd, path, sizeof path)) return (int)syscall(SYS_ftruncate, fd, len);
    struct stat info;
    int done = -1;
    pthread_mutex_lock(&guard);
    /* Holes are not known here: a file that is made longer takes the room at once. */
    if (fstat(fd, &info) == 0 && !has_room((int64_t)len - info.st_size)) {
        errno = ENOSPC;
    } else {
        done = (int)syscall(SYS_ftruncate, fd, len);
        if (done == 0) note('t', path, (uint64_t)len, "", 0);
    }
    int error = errno;
    pthread_mutex_unlock(&guard);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

static int flush(int fd, long call) {
    char path[4096];
    if (!is_ours(fd, path, sizeof path)) return (int)syscall(call, fd);
    pthread_mutex_lock(&guard);
    int done = (int)syscall(call, fd);
    if (done == 0) note('s', path, 0, "", 0);
    pthread_mutex_unlock(&guard);
    return done;
}

int unlink(const char *path) {
    const char *dir = getenv("FAULTY_DIR");
    if (dir == NULL || strncmp(path, dir, strlen(dir)) != 0)
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&guard);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done == 0) note('u', path, 0, "", 0);
    pthread_mutex_unlock(&guard);
    return done;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }

int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

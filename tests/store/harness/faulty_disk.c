/* Preloaded into a role: makes writing or syncing files fail on demand, as a disk does that is full, broken
 * or mounted read-only. The file named by BAZAR_TEST_FAULTS holds what is to fail, "write" or "sync", and
 * the errno; without that file nothing fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fails(int fd, const char *what) {
    const char *path = getenv("BAZAR_TEST_FAULTS");
    struct stat file;
    /* Not the log, which is standard error, nor sockets. */
    if (path == NULL || fd <= 2 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return 0;
    FILE *faults = fopen(path, "re");
    if (faults == NULL) return 0;
    char name[16];
    int number = 0, found = 0;
    while (!found && fscanf(faults, "%15s %d", name, &number) == 2) found = strcmp(name, what) == 0;
    fclose(faults);
    if (found) errno = number;
    return found;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fails(fd, "write") ? -1 : NEXT(pwrite64)(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return fails(fd, "write") ? -1 : NEXT(pwrite)(fd, bytes, count, at);
}
ssize_t write(int fd, const void *bytes, size_t count) {
    return fails(fd, "write") ? -1 : NEXT(write)(fd, bytes, count);
}
int fsync(int fd) { return fails(fd, "sync") ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails(fd, "sync") ? -1 : NEXT(fdatasync)(fd); }

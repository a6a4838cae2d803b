/* A disk that can lose power and fail, for redis-server under LD_PRELOAD.
 *
 * A killed process leaves the page cache behind, so kill -9 alone proves nothing about the disk. This records, for each
 * append-only file, how many bytes it had when an fsync of it began that then succeeded: that much a disk has to keep. The
 * torture run cuts the file back to it before Redis starts again. While a file `fail-fsync` or `fail-write` lies in the same
 * folder, fsync fails with EIO and writes to append-only files fail with ENOSPC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The append-only file behind a descriptor: its name, or NULL for anything else. */
static const char *aof_name(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length <= 0) return NULL;
  path[length] = 0;
  const char *slash = strrchr(path, '/');
  return slash && strstr(slash, ".incr.aof") ? slash + 1 : NULL;
}

static int is_failing(const char *what) {
  const char *folder = getenv("TORTURE_DISK");
  char path[512];
  if (!folder) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, what);
  return access(path, F_OK) == 0;
}

static void record(const char *name, long long bytes) {
  const char *folder = getenv("TORTURE_DISK");
  char path[512], text[32];
  if (!folder) return;
  snprintf(path, sizeof path, "%s/%s.synced", folder, name);
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  if (fd < 0) return;
  int length = snprintf(text, sizeof text, "%020lld", bytes);
  if (pwrite(fd, text, length, 0) != length) abort();
  close(fd);
}

static int sync_with(const char *function, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, function);
  char path[512];
  const char *name = aof_name(fd, path, sizeof path);
  struct stat before;
  if (!name || fstat(fd, &before) != 0) return real(fd);
  if (is_failing("fail-fsync")) {
    errno = EIO;
    return -1;
  }
  int result = real(fd);
  if (result == 0) record(name, (long long)before.st_size);
  return result;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }

ssize_t write(int fd, const void *bytes, size_t length) {
  static ssize_t (*real)(int, const void *, size_t);
  char path[512];
  if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  if (is_failing("fail-write") && aof_name(fd, path, sizeof path)) {
    errno = ENOSPC;
    return -1;
  }
  return real(fd, bytes, length);
}

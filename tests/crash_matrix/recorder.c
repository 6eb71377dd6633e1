/* Notes every change that a program makes to the files below one folder, and every fsync, in a log.
 *
 * Preloaded into an agent; power.py replays the log to tell what a power cut may have left on the disk.
 * Everything is noted after it has happened: what a kill keeps from being noted was not synced either.
 * Memory maps are not seen: SQLite maps its -shm file only, and makes that anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_FDS = 4096, LOG_FD = 4000 };

struct head { /* as power.py reads it */
    uint8_t op;
    uint8_t unused[7];
    uint64_t inode;
    int64_t offset;
    uint64_t size;
};

static const char *folder;
static size_t folder_length;
static int log_fd = -1;
static uint64_t inodes[MAX_FDS]; /* of the files below the folder, by descriptor; 0: not ours */

__attribute__((constructor)) static void begin(void)
{
    const char *log = getenv("CRASH_MATRIX_LOG");
    folder = getenv("CRASH_MATRIX_FOLDER");
    if (folder == NULL || log == NULL)
        return;
    folder_length = strlen(folder);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, LOG_FD);
    syscall(SYS_close, fd);
}

static void note(char op, uint64_t inode, int64_t offset, const void *content, size_t size)
{
    int error = errno;
    struct head head = {.op = (uint8_t)op, .inode = inode, .offset = offset, .size = size};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)content, size}};
    if (writev(log_fd, parts, 2) != (ssize_t)(sizeof head + size))
        abort(); /* a log with holes would prove nothing */
    errno = error;
}

static int ours(const char *path)
{
    return log_fd >= 0 && path != NULL && strncmp(path, folder, folder_length) == 0
        && (path[folder_length] == '/' || path[folder_length] == '\0');
}

static uint64_t inode_of(int fd)
{
    return fd >= 0 && fd < MAX_FDS ? inodes[fd] : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, const char *path, int flags, int existed)
{
    struct stat status;
    if (fd < 0 || fd >= MAX_FDS || fstat(fd, &status) != 0)
        return fd;
    inodes[fd] = status.st_ino;
    if (S_ISREG(status.st_mode))
        note('O', status.st_ino, (existed ? 0 : 1) | (flags & O_TRUNC ? 2 : 0), path, strlen(path));
    return fd;
}

static int open_noted(int at, const char *path, int flags, mode_t mode)
{
    if (!ours(path))
        return (int)syscall(SYS_openat, at, path, flags, mode);
    int existed = access(path, F_OK) == 0;
    errno = 0;
    return opened((int)syscall(SYS_openat, at, path, flags, mode), path, flags, existed);
}

#define OPEN(name, first, at)                                   \
    int name(first const char *path, int flags, ...)            \
    {                                                           \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                           \
        return open_noted(at, path, flags, mode);               \
    }
#define NOTHING
#define DIRECTORY int at,

OPEN(open, NOTHING, AT_FDCWD)
OPEN(open64, NOTHING, AT_FDCWD)
OPEN(openat, DIRECTORY, at)
OPEN(openat64, DIRECTORY, at)

int close(int fd)
{
    if (fd >= 0 && fd < MAX_FDS)
        inodes[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

ssize_t write(int fd, const void *content, size_t size)
{
    ssize_t written = syscall(SYS_write, fd, content, size);
    uint64_t inode = inode_of(fd);
    if (inode && written > 0)
        note('W', inode, lseek(fd, 0, SEEK_CUR) - written, content, (size_t)written);
    return written;
}

ssize_t pwrite64(int fd, const void *content, size_t size, off64_t offset)
{
    ssize_t written = REAL(pwrite64)(fd, content, size, offset);
    uint64_t inode = inode_of(fd);
    if (inode && written > 0)
        note('W', inode, offset, content, (size_t)written);
    return written;
}

ssize_t pwrite(int fd, const void *content, size_t size, off_t offset)
{
    return pwrite64(fd, content, size, offset);
}

int ftruncate64(int fd, off64_t size)
{
    int result = REAL(ftruncate64)(fd, size);
    uint64_t inode = inode_of(fd);
    if (inode && result == 0)
        note('T', inode, size, "", 0);
    return result;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    int result = REAL(posix_fallocate64)(fd, offset, size);
    struct stat status;
    uint64_t inode = inode_of(fd);
    if (inode && result == 0 && fstat(fd, &status) == 0)
        note('T', inode, status.st_size, "", 0);
    return result;
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    return posix_fallocate64(fd, offset, size);
}

static int synced(int fd, int result)
{
    struct stat status;
    uint64_t inode = inode_of(fd);
    if (inode && result == 0 && fstat(fd, &status) == 0)
        note(S_ISDIR(status.st_mode) ? 'D' : 'S', inode, 0, "", 0);
    return result;
}

int fsync(int fd)
{
    return synced(fd, (int)syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    return synced(fd, (int)syscall(SYS_fdatasync, fd));
}

int unlink(const char *path)
{
    int result = REAL(unlink)(path);
    if (result == 0 && ours(path))
        note('U', 0, 0, path, strlen(path));
    return result;
}

int rename(const char *from, const char *to)
{
    int result = REAL(rename)(from, to);
    char both[2 * PATH_MAX];
    size_t length = strlen(from), other = strlen(to);
    if (result == 0 && ours(from) && ours(to) && length + other + 1 < sizeof both) {
        memcpy(both, from, length + 1);
        memcpy(both + length + 1, to, other);
        note('R', 0, 0, both, length + 1 + other);
    }
    return result;
}

/* What a broker under test sees of the wall clock and of the disk, by LD_PRELOAD: the file that PLIANT_SHIM names holds the
   seconds that the wall clock is ahead, and the milliseconds that each sync takes longer. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The number at this place in the file; without stdio, which would ask for memory, and that may ask for the time. */
static long long told(int place) {
    static int file = -1;
    if (file < 0) {
        const char *path = getenv("PLIANT_SHIM");
        file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    }
    char text[64];
    ssize_t length = file < 0 ? 0 : pread(file, text, sizeof text - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    char *at = text;
    long long number = 0;
    for (int i = 0; i <= place; i++) number = strtoll(at, &at, 10);
    return number;
}

static int is_wall(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, id, now);
    if (result == 0 && is_wall(id)) now->tv_sec += (time_t)told(0);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

static void drag(void) {
    long long wait = told(1);
    struct timespec pause = {wait / 1000, wait % 1000 * 1000000};
    if (wait > 0) nanosleep(&pause, NULL);
}

int fsync(int file) {
    drag();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    drag();
    return (int)syscall(SYS_fdatasync, file);
}

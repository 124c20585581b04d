/* Maps what its arguments say, prints "ready" and ends with its standard input. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

static void fail(const char *step) {
    perror(step);
    exit(1);
}

static void map(const char *step, int flags, int fd) {
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, flags, fd, 0) == MAP_FAILED)
        fail(step);
}

static void *wait_for_end(void *unused) {
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    exit(0);
    return unused;
}

int main(int count, char **steps) {
    int ends_main = 0;
    for (int at = 1; at < count; at++) {
        const char *step = steps[at];
        if (strncmp(step, "map:", 4) == 0) {
            int fd = open(step + 4, O_RDONLY);
            if (fd < 0)
                fail(step);
            map(step, MAP_PRIVATE, fd);
            close(fd);
        } else if (strncmp(step, "chroot:", 7) == 0) {
            if (chroot(step + 7) != 0 || chdir("/") != 0)
                fail(step);
        } else if (strncmp(step, "memfd:", 6) == 0) {
            int fd = memfd_create(step + 6, 0);
            if (fd < 0 || ftruncate(fd, 4096) != 0)
                fail(step);
            map(step, MAP_SHARED, fd);
        } else if (strcmp(step, "zero") == 0) {
            map(step, MAP_SHARED | MAP_ANONYMOUS, -1);
        } else if (strcmp(step, "shm") == 0) {
            int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700);
            void *memory = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_EXEC);
            shmctl(id, IPC_RMID, NULL);
            if (memory == (void *)-1)
                fail(step);
        } else if (strcmp(step, "end-main") == 0) {
            ends_main = 1;
        }
    }
    pthread_t thread;
    if (ends_main && pthread_create(&thread, NULL, wait_for_end, NULL) != 0)
        fail("pthread_create");
    puts("ready");
    fflush(stdout);
    if (ends_main)
        pthread_exit(NULL);
    wait_for_end(NULL);
}

// SPDX-License-Identifier: MIT
#include "bpffs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/sys/fs/bpf"
/* A helper that was killed a moment ago may still hold the lock. */
#define LOCK_TRIES    30
#define LOCK_PAUSE_NS 100000000

bool bpffs_mounted(void)
{
	struct statfs fs;

	return !statfs(ROOT, &fs) && fs.f_type == BPF_FS_MAGIC;
}

/* systemd mounts it at boot, with these options; other inits and containers do not. */
static int mount_bpffs(void)
{
	if (bpffs_mounted())
		return 0;
	return mount("bpf", ROOT, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") ? errno : 0;
}

static int make_directories(const char *dir)
{
	char path[256];

	snprintf(path, sizeof(path), "%s", dir);
	for (char *at = path + sizeof(ROOT); (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			return errno;
	}
	return mkdir(path, 0700) && errno != EEXIST ? errno : 0;
}

static int lock(const char *dir, int *error)
{
	struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*error = fd < 0 ? errno : 0;
	for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); i++) {
		*error = errno;
		if (*error != EWOULDBLOCK || i == LOCK_TRIES) {
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

int bpffs_take(const char *dir, char *text)
{
	int error, fd;

	if (strncmp(dir, ROOT "/", sizeof(ROOT))) {
		snprintf(text, TT_TEXT_SIZE, "%s is not below " ROOT, dir);
		return -1;
	}
	error = mount_bpffs();
	if (error) {
		snprintf(text, TT_TEXT_SIZE, "no bpffs at " ROOT ", and mounting it failed: %s",
			 strerror(error));
		return -1;
	}
	error = make_directories(dir);
	if (error) {
		snprintf(text, TT_TEXT_SIZE, "cannot make %.128s: %s", dir, strerror(error));
		return -1;
	}
	fd = lock(dir, &error);
	if (fd < 0)
		snprintf(text, TT_TEXT_SIZE, "%.128s is in use: %s", dir, strerror(error));
	return fd;
}

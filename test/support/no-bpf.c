// SPDX-License-Identifier: MIT
/*
 * no-bpf ENOSYS|EPERM CMD [ARG...]
 *
 * Runs CMD as if on a kernel without BPF: bpf(2) and perf_event_open(2) fail with the given errno,
 * for CMD and all that it starts. ENOSYS is what a kernel built without them says, EPERM what a
 * locked-down one says. Everything else, privileges included, stays as it is.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
/* x32 calls carry the x86-64 arch value; only this bit of the number tells them apart. */
#define FOREIGN_NR_MIN 0x40000000u
#elif defined(__aarch64__)
#define NATIVE_ARCH    AUDIT_ARCH_AARCH64
#define FOREIGN_NR_MIN 0xffffffffu
#else
#error "no-bpf: system call numbers of this architecture are not known here"
#endif

/* Exit codes of env(1) and the like, so that a caller can tell our failures from CMD's. */
enum { EXIT_OURS = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static int refuse_bpf(unsigned int err)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
		/* Other ABIs number their calls differently: none of them, rather than a way around. */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN_NR_MIN, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_bpf, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_perf_event_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 0;
	/* Only without CAP_SYS_ADMIN, as it would change what CMD's set-user-ID children can do. */
	if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	unsigned int err = 0;

	if (argc >= 3 && !strcmp(argv[1], "ENOSYS"))
		err = ENOSYS;
	else if (argc >= 3 && !strcmp(argv[1], "EPERM"))
		err = EPERM;
	if (!err) {
		fprintf(stderr, "usage: no-bpf ENOSYS|EPERM CMD [ARG...]\n");
		return EXIT_OURS;
	}
	if (refuse_bpf(err)) {
		fprintf(stderr, "no-bpf: can't install the filter: %s\n", strerror(errno));
		return EXIT_OURS;
	}
	execvp(argv[2], argv + 2);
	err = errno;
	fprintf(stderr, "no-bpf: can't run %s: %s\n", argv[2], strerror(err));
	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

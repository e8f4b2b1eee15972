/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Who a task is, read while it exists. */
#ifndef IDENTITY_BPF_H
#define IDENTITY_BPF_H

#include <bpf/bpf_core_read.h>

#include "maps.bpf.h"

#define TT_PATH_DEPTH 32

/*
 * Writes the path of the task's executable to out, as readlink of /proc/PID/exe would give it to a
 * reader at the root of that mount namespace: up the dentries, and from the root of each mount on to
 * the place where it is mounted. The path grows leftwards from the middle of a buffer twice as long
 * as a path, so that every masked offset stays inside for the verifier.
 */
static __always_inline void read_exe(struct task_struct *task, char *out)
{
	__u32 user = (__u32)bpf_get_current_pid_tgid();
	__u32 room = user & (TT_PATH_ROOMS - 1);
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	struct tt_path_scratch *path = bpf_map_lookup_elem(&path_scratch, &room);
	struct vfsmount *vfsmnt;
	struct dentry *dentry;
	struct mount *mount;
	__u32 at;
	int i;

	if (!exe || !path)
		goto unknown;
	dentry = BPF_CORE_READ(exe, f_path.dentry);
	vfsmnt = BPF_CORE_READ(exe, f_path.mnt);
	mount = (void *)vfsmnt - bpf_core_field_offset(struct mount, mnt);
	path->bytes[TT_EXE_SIZE - 1] = '\0';
	path->start = TT_EXE_SIZE - 1;
	path->user = user;

	for (i = 0; i < TT_PATH_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		const unsigned char *name;
		__u32 len;

		if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount || dentry != BPF_CORE_READ(mount, mnt.mnt_root))
				break;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			continue;
		}
		name = BPF_CORE_READ(dentry, d_name.name);
		len = BPF_CORE_READ(dentry, d_name.len);
		if (len + 1 > path->start)
			goto unknown; /* too long: no path rather than half of one */
		path->start -= len + 1;
		at = path->start & (TT_EXE_SIZE - 1);
		path->bytes[at] = '/';
		bpf_probe_read_kernel(&path->bytes[at + 1], len & (TT_EXE_SIZE - 1), name);
		dentry = parent;
	}
	if (i == TT_PATH_DEPTH)
		goto unknown;
	at = path->start & (TT_EXE_SIZE - 1);
	bpf_probe_read_kernel_str(out, TT_EXE_SIZE, &path->bytes[at]);
	if (*(volatile __u32 *)&path->user != user)
		goto unknown;
	return;
unknown:
	out[0] = '\0'; /* only now: another thread of the process may be writing the same to it */
}

static __always_inline bool is_user_process(struct task_struct *task)
{
	/* An exiting task has given up its memory map, and with it its executable. */
	return !(BPF_CORE_READ(task, flags) & PF_KTHREAD) && BPF_CORE_READ(task, mm);
}

/* The part of an identity that is in every flow key. */
static __always_inline void read_owner(struct task_struct *task, struct tt_flow_key *key)
{
	key->tgid = BPF_CORE_READ(task, tgid);
	key->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline void read_identity(struct task_struct *task, struct tt_identity *id)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	id->start_ns = BPF_CORE_READ(leader, start_boottime);
	id->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	id->tgid = BPF_CORE_READ(task, tgid);
	id->ppid = BPF_CORE_READ(leader, real_parent, tgid);
	id->pgid = BPF_CORE_READ(leader, signal, pids[PIDTYPE_PGID], numbers[0].nr);
	id->uid = BPF_CORE_READ(task, cred, euid.val);
	BPF_CORE_READ_INTO(&id->comm, leader, comm);
	read_exe(task, id->exe);
}

#endif /* IDENTITY_BPF_H */

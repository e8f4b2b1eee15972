/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * The hooks. What they do with a socket stands in lifecycle.bpf.h and reconcile.bpf.h, how flows are
 * counted in flow.bpf.h, the maps in maps.bpf.h.
 *
 *               connect()                      handshake                    close()
 *   active  --> [connect hook] CONNECTING --> [ESTABLISHED] COUNTED ----> [CLOSE] counted closed
 *                                        \--> [CLOSE] counted failed, by sk_err
 *   passive --> [ESTABLISHED] PENDING ------> [accept hook] COUNTED ----> [CLOSE] counted closed
 *                                        \--> [FIN_WAIT1, LAST_ACK: the owner closes] COUNTED
 *                                        \--> [reconcile finds its file] COUNTED
 *   older than us --> [reconcile finds its file] COUNTED, as found
 *
 * State changes run in softirq or in whoever was interrupted; only connect, accept and the two
 * transitions that tcp_close() and shutdown() make run in the owner's context.
 */
#include "kernel_types.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lifecycle.bpf.h"
#include "reconcile.bpf.h"

/* True on the tracepoint rung: CLOSE -> SYN_SENT stands in for the hook on tcp_connect. */
const volatile bool connect_by_state = false;

/* ---- active open: the rungs' hooks on tcp_connect (net/ipv4/tcp_output.c) ---- */

SEC("fentry/tcp_connect")
int BPF_PROG(fentry_tcp_connect, struct sock *sk)
{
	if (is_traced(sk))
		begin_active(sk, (struct task_struct *)bpf_get_current_task());
	return 0;
}

SEC("kprobe/tcp_connect")
int BPF_KPROBE(kprobe_tcp_connect, struct sock *sk)
{
	if (is_traced(sk))
		begin_active(sk, (struct task_struct *)bpf_get_current_task());
	return 0;
}

/* ---- passive open: the rungs' hooks on inet_csk_accept (net/ipv4/inet_connection_sock.c) ---- */

/* Until 6.9: inet_csk_accept(sk, flags, err, kern). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_4, struct sock *listener, int flags, int *err, bool kern,
	     struct sock *accepted)
{
	on_accept(accepted);
	return 0;
}

/* From 6.10 on (92ef0fd55ac8, "net: change proto and proto_ops accept type"). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_2, struct sock *listener, struct proto_accept_arg *arg,
	     struct sock *accepted)
{
	on_accept(accepted);
	return 0;
}

SEC("kretprobe/inet_csk_accept")
int BPF_KRETPROBE(kretprobe_accept, struct sock *accepted)
{
	on_accept(accepted);
	return 0;
}

/*
 * A kretprobe has a slot for each task that is in the function, and before 6.2 a kernel that is not
 * preemptible has as many slots as CPUs (3b7ddab8a19a, "kprobes: kretprobe events missing on 2-core KVM
 * guest"): a few tasks asleep in accept() take them all. inet_accept() calls this one next.
 */
SEC("kprobe/security_sock_graft")
int BPF_KPROBE(kprobe_sock_graft, struct sock *accepted)
{
	/* What was reset in the accept queue, the kretprobe has counted. */
	if (BPF_CORE_READ(accepted, __sk_common.skc_state) != TCP_CLOSE)
		on_accept(accepted);
	return 0;
}

/* ---- the life of a socket, on every rung ---- */

/*
 * Two programs on one tracepoint: the kernel skips a program that is entered again on a CPU where it
 * runs already, and a task's own transition can be interrupted by a packet's. Split by who makes the
 * transition, neither hides the other.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_by_owner, struct sock *sk, int oldstate, int newstate)
{
	switch (newstate) {
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		if (is_traced(sk))
			on_owner_close(sk, (__u64)sk, oldstate);
		break;
	case TCP_SYN_SENT:
		if (connect_by_state && is_traced(sk))
			begin_active(sk, (struct task_struct *)bpf_get_current_task());
		break;
	case TCP_LISTEN:
		if (is_traced(sk))
			on_listen(sk, TT_LISTEN_OPENED);
		break;
	case TCP_CLOSE:
		if (oldstate == TCP_LISTEN && is_traced(sk))
			on_listen(sk, TT_LISTEN_CLOSED);
		break;
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_by_packet, struct sock *sk, int oldstate, int newstate)
{
	__u64 id = (__u64)sk;

	if (newstate == TCP_ESTABLISHED) {
		if ((oldstate == TCP_SYN_SENT || oldstate == TCP_SYN_RECV) && is_traced(sk))
			on_established(sk, id, oldstate);
	} else if (newstate == TCP_CLOSE) {
		if (oldstate != TCP_LISTEN && is_traced(sk))
			on_closed(sk, id, oldstate);
	}
	return 0;
}

/*
 * Makes up for what the two above were skipped for. Where the kernel may preempt them (tracepoints
 * since 7.0), one that waits for its CPU keeps other tasks' transitions there from being seen, and this
 * program is another one. Of what has been seen nothing is left for it to do.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_missed, struct sock *sk, int oldstate, int newstate)
{
	__u64 id = (__u64)sk;
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	switch (newstate) {
	case TCP_SYN_SENT:
		if (connect_by_state && !is_begun(socket) && is_traced(sk))
			begin_active(sk, (struct task_struct *)bpf_get_current_task());
		break;
	case TCP_ESTABLISHED:
		if ((oldstate == TCP_SYN_SENT || oldstate == TCP_SYN_RECV) &&
		    !is_established(socket, sk) && is_traced(sk))
			on_established(sk, id, oldstate);
		break;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		if (!(socket && socket->phase == TT_COUNTED) && is_traced(sk))
			on_owner_close(sk, id, oldstate);
		break;
	case TCP_CLOSE:
		if (socket && oldstate != TCP_LISTEN)
			on_closed(sk, id, oldstate);
		break;
	}
	return 0;
}

/* ---- reconcile: passes over all open files (kernel/bpf/task_iter.c), then over sockets ---- */

/*
 * The socket behind a file, NULL for other files. Most files are none, and each field that is read by
 * a helper instead of directly costs as much as all else here: hence the types that the verifier
 * knows, as far as the kernel gives them.
 */
static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file)) { /* 5.11 */
		socket = bpf_sock_from_file(file);
		return socket ? socket->sk : NULL;
	}
	if ((file->f_inode->i_mode & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = file->private_data; /* where a socket's file keeps it */
	return BPF_CORE_READ(socket, sk);
}

SEC("iter/task_file")
int reconcile(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tt_socket *known;
	struct sock *sk;
	__u64 id;
	int state;

	if (!task || !file)
		return 0;
	sk = sock_of(file);
	if (!sk)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_LISTEN) {
		if (reconcile_pass == TT_PASS_KNOWN && is_traced(sk))
			print_listener(ctx->meta->seq, sk, task);
		return 0;
	}
	if (!is_connected(state))
		return 0;
	/* Nearly all that are connected are known, and were traced: so this comes before is_traced(). */
	id = (__u64)sk;
	known = bpf_map_lookup_elem(&sockets, &id);
	if (known && is_inet(sk)) {
		reconcile_sockets++;
		reconcile_known(sk, task, known, state);
	} else if (is_traced(sk)) {
		reconcile_unknown_socket(sk, task, state);
	}
	return 0;
}

/*
 * The rest of a namespace's sockets (net/ipv4/tcp_ipv4.c): those of the kernel itself, such as an NFS
 * mount's, and those whose descriptors are under way between processes. One in an accept queue, or
 * closed by its owner and still to be acknowledged, has no struct socket and is not ours to count.
 */
SEC("iter/tcp")
int reconcile_hidden(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = (struct sock *)ctx->sk_common;
	__u64 id = (__u64)sk;

	if (!sk || bpf_map_lookup_elem(&sockets, &id))
		return 0;
	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return 0;
	if (!is_traced(sk) || !BPF_CORE_READ(sk, sk_socket))
		return 0;
	reconcile_sockets++;
	adopt(sk, NULL, TCP_ESTABLISHED);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

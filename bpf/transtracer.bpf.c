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
int BPF_PROG(fentry_tcp_connect, struct sock *sock)
{
	struct sock_ref sk;

	if (refer(sock, &sk))
		begin_active(sk, (struct task_struct *)bpf_get_current_task());
	return 0;
}

SEC("kprobe/tcp_connect")
int BPF_KPROBE(kprobe_tcp_connect, struct sock *sock)
{
	struct sock_ref sk;

	if (refer_probed(sock, &sk))
		begin_active(sk, (struct task_struct *)bpf_get_current_task());
	return 0;
}

/* ---- passive open: the rungs' hooks on inet_csk_accept (net/ipv4/inet_connection_sock.c) ---- */

/* Until 6.9: inet_csk_accept(sk, flags, err, kern). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_4, struct sock *listener, int flags, int *err, bool kern,
	     struct sock *accepted)
{
	struct sock_ref sk;

	if (refer(accepted, &sk))
		on_accept(sk);
	return 0;
}

/* From 6.10 on (92ef0fd55ac8, "net: change proto and proto_ops accept type"). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_2, struct sock *listener, struct proto_accept_arg *arg,
	     struct sock *accepted)
{
	struct sock_ref sk;

	if (refer(accepted, &sk))
		on_accept(sk);
	return 0;
}

SEC("kretprobe/inet_csk_accept")
int BPF_KRETPROBE(kretprobe_accept, struct sock *accepted)
{
	struct sock_ref sk;

	if (accepted && refer_probed(accepted, &sk))
		on_accept(sk);
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
	struct sock_ref sk;

	/* What was reset in the accept queue, the kretprobe has counted. */
	if (refer_probed(accepted, &sk) && SK_READ(sk, __sk_common.skc_state) != TCP_CLOSE)
		on_accept(sk);
	return 0;
}

/* ---- the life of a socket, on every rung ---- */

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sock, int oldstate, int newstate)
{
	__u64 id = (__u64)sock;
	struct sock_ref sk;

	switch (newstate) {
	case TCP_SYN_SENT:
		if (connect_by_state && refer(sock, &sk))
			begin_active(sk, (struct task_struct *)bpf_get_current_task());
		break;
	case TCP_ESTABLISHED:
		if ((oldstate == TCP_SYN_SENT || oldstate == TCP_SYN_RECV) && refer(sock, &sk))
			on_established(sk, id, oldstate);
		break;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		if (refer(sock, &sk))
			on_owner_close(sk, id, oldstate);
		break;
	case TCP_LISTEN:
		if (refer(sock, &sk))
			on_listen(sk, TT_LISTEN_OPENED);
		break;
	case TCP_CLOSE:
		if (!refer(sock, &sk))
			break;
		if (oldstate == TCP_LISTEN)
			on_listen(sk, TT_LISTEN_CLOSED);
		else
			on_closed(sk, id, oldstate);
		break;
	}
	return 0;
}

/*
 * The kernel skips a program that is entered again on a CPU where it runs already, as when a packet
 * interrupts a task's own transition. A second program then does what the first was skipped for; of what
 * has been done nothing is left for it. Listeners come and go in tasks, which interrupt nobody.
 */
static __always_inline void make_up(struct sock *sock, int oldstate, int newstate)
{
	__u64 id = (__u64)sock;
	struct tt_socket *socket;
	struct sock_ref sk;

	if (newstate != TCP_SYN_SENT && newstate != TCP_ESTABLISHED && newstate != TCP_FIN_WAIT1 &&
	    newstate != TCP_LAST_ACK && newstate != TCP_CLOSE)
		return;
	socket = bpf_map_lookup_elem(&sockets, &id);
	switch (newstate) {
	case TCP_SYN_SENT:
		if (connect_by_state && !is_begun(socket) && refer(sock, &sk))
			begin_active(sk, (struct task_struct *)bpf_get_current_task());
		break;
	case TCP_ESTABLISHED:
		if ((oldstate == TCP_SYN_SENT || oldstate == TCP_SYN_RECV) && refer(sock, &sk) &&
		    !is_established(socket, sk))
			on_established(sk, id, oldstate);
		break;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		if (!(socket && socket->phase == TT_COUNTED) && refer(sock, &sk))
			on_owner_close(sk, id, oldstate);
		break;
	case TCP_CLOSE:
		if (socket && oldstate != TCP_LISTEN && refer(sock, &sk))
			on_closed(sk, id, oldstate);
		break;
	}
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_missed, struct sock *sock, int oldstate, int newstate)
{
	make_up(sock, oldstate, newstate);
	return 0;
}

/*
 * Where the kernel may preempt programs (tracepoints since 7.0), both of them may wait for their CPU, in
 * two tasks, while a third one's transition is made there.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_missed_twice, struct sock *sock, int oldstate, int newstate)
{
	make_up(sock, oldstate, newstate);
	return 0;
}

/* ---- reconcile: passes over all open files (kernel/bpf/task_iter.c), then over sockets ---- */

static __always_inline void reconcile_socket(struct seq_file *seq, struct task_struct *task,
					     struct sock_ref sk)
{
	int state = SK_READ(sk, __sk_common.skc_state);
	__u64 id = (__u64)sk.address;
	struct tt_socket *known;

	if (state == TCP_LISTEN) {
		if (reconcile_pass == TT_PASS_KNOWN)
			print_listener(seq, sk, task);
		return;
	}
	if (!is_connected(state))
		return;
	known = bpf_map_lookup_elem(&sockets, &id);
	if (known) {
		reconcile_sockets++;
		reconcile_known(sk, task, known, state);
	} else {
		reconcile_unknown_socket(sk, task, state);
	}
}

/* Most files are no sockets. */
SEC("iter/task_file")
int reconcile(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock_ref sk;

	if (!task || !file)
		return 0;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file)) { /* 5.11 */
		socket = bpf_sock_from_file(file);
		if (socket && refer(socket->sk, &sk))
			reconcile_socket(ctx->meta->seq, task, sk);
	} else if ((file->f_inode->i_mode & S_IFMT) == S_IFSOCK) {
		socket = file->private_data; /* where a socket's file keeps it */
		if (refer_probed(BPF_CORE_READ(socket, sk), &sk))
			reconcile_socket(ctx->meta->seq, task, sk);
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
	struct sock_common *common = ctx->sk_common;
	__u64 id = (__u64)common;
	struct sock_ref sk;

	if (!common || bpf_map_lookup_elem(&sockets, &id) || !refer(common, &sk))
		return 0;
	if (SK_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED || !SK_READ(sk, sk_socket))
		return 0;
	reconcile_sockets++;
	adopt(sk.address, sk.typed, NULL, TCP_ESTABLISHED);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

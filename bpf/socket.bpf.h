/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Reading a socket. */
#ifndef SOCKET_BPF_H
#define SOCKET_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "transtracer.h"

/* Set by the helper before load. */
const volatile __u32 only_netns = 0; /* trace just this namespace; 0: all */

/*
 * A TCP socket. Where the verifier knows its type (fentry, tp_btf, iterators) fields are plain loads; in
 * kprobes, and behind a file before 5.11, each costs a call. Which it is, is known to the compiler: of
 * the two branches of a READ one remains.
 */
struct sock_ref {
	struct sock *address;
	struct tcp_sock *typed; /* the same; NULL where the verifier does not know it */
};

/* struct tcp_sock begins with its inet_sock, and that with its sock (include/linux/tcp.h). */
#define READ_AS(type, sk, field)                                               \
	({                                                                     \
		const struct type *typed_ = (const struct type *)(sk).typed;   \
		const struct type *other_ = (const struct type *)(sk).address; \
                                                                               \
		typed_ ? typed_->field : BPF_CORE_READ(other_, field);         \
	})
#define SK_READ(sk, field)  READ_AS(sock, sk, field)
#define TCP_READ(sk, field) READ_AS(tcp_sock, sk, field)

/* Gives BPF_CORE_READ_INTO the size to read. */
struct tt_address {
	__u8 bytes[16];
};

#define READ_IPV6(out, sk, field)                                                      \
	do {                                                                           \
		const struct sock *typed_ = (const struct sock *)(sk).typed;           \
		const struct sock *other_ = (sk).address;                              \
                                                                                       \
		for (int i_ = 0; typed_ && i_ < 4; i_++)                               \
			((__be32 *)(out))[i_] = typed_->field.in6_u.u6_addr32[i_];     \
		if (!typed_)                                                           \
			BPF_CORE_READ_INTO((struct tt_address *)(out), other_, field); \
	} while (0)

static __always_inline void map_ipv4(__u8 *out, __be32 address)
{
	__builtin_memset(out, 0, 10);
	out[10] = 0xff;
	out[11] = 0xff;
	__builtin_memcpy(out + 12, &address, sizeof(address));
}

static __always_inline void read_local(struct sock_ref sk, __u8 *out)
{
	if (SK_READ(sk, __sk_common.skc_family) == AF_INET)
		map_ipv4(out, SK_READ(sk, __sk_common.skc_rcv_saddr));
	else
		READ_IPV6(out, sk, __sk_common.skc_v6_rcv_saddr);
}

static __always_inline void read_peer(struct sock_ref sk, __u8 *out)
{
	if (SK_READ(sk, __sk_common.skc_family) == AF_INET)
		map_ipv4(out, SK_READ(sk, __sk_common.skc_daddr));
	else
		READ_IPV6(out, sk, __sk_common.skc_v6_daddr);
}

/* inet_sport outlives the unhashing of the socket, skc_num does not. */
static __always_inline __u16 local_port(struct sock_ref sk)
{
	return bpf_ntohs(READ_AS(inet_sock, sk, inet_sport));
}

static __always_inline __u16 peer_port(struct sock_ref sk)
{
	return bpf_ntohs(SK_READ(sk, __sk_common.skc_dport));
}

static __always_inline __u32 netns_of(struct sock_ref sk)
{
	const struct sock *typed = (const struct sock *)sk.typed, *other = sk.address;

	return typed ? typed->__sk_common.skc_net.net->ns.inum :
		       BPF_CORE_READ(other, __sk_common.skc_net.net, ns.inum);
}

/* A socket of protocol TCP that is not raw, in a traced namespace. */
static __always_inline bool is_traced(struct sock_ref sk)
{
	__u16 family = SK_READ(sk, __sk_common.skc_family);

	if ((family != AF_INET && family != AF_INET6) || SK_READ(sk, sk_type) != SOCK_STREAM)
		return false;
	return !only_netns || netns_of(sk) == only_netns;
}

/* sk: a pointer whose type the verifier knows. False if it is not to be traced. */
static __always_inline bool refer(void *sk, struct sock_ref *ref)
{
	ref->address = sk;
	ref->typed = bpf_skc_to_tcp_sock(sk);
	return ref->typed && is_traced(*ref);
}

/* The same of any pointer to a socket. */
static __always_inline bool refer_probed(struct sock *sk, struct sock_ref *ref)
{
	ref->address = sk;
	ref->typed = NULL;
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP && is_traced(*ref);
}

#endif /* SOCKET_BPF_H */

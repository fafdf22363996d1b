/*
 * unsupported.c - what no other kind knows
 *
 * Asked last, matches everything, and refuses the checkpoint by name: what
 * can't be restored right is not restored wrong.
 */
#include <asm/errno.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

struct unsupported {
	uint32_t nothing;
};

static const struct field unsupported_fields[] = {
	FIELD_U32(struct unsupported, nothing),
	FIELD_END
};

static const struct {
	const char *path, *name, *remedy;
} unsupported_names[] = {
	{ "/secretmem", "secret memory (memfd_secret)", "close it" },
	{ "anon_inode:[fanotify]", "fanotify", "close it" },
	{ "anon_inode:[userfaultfd]", "userfaultfd", "close it" },
	{ "anon_inode:[perf_event]", "a perf event", "stop the measurement" },
	{ "anon_inode:bpf-map", "a BPF map", "close it" },
	{ "anon_inode:bpf-prog", "a BPF program", "close it" },
	{ "anon_inode:bpf_link", "a BPF link", "close it" },
	{ "anon_inode:btf", "BPF type information", "close it" },
	{ "anon_inode:[landlock-ruleset]", "a landlock ruleset", "close it" },
	{ "anon_inode:seccomp notify", "a seccomp listener", "close it" },
	{ "anon_inode:kvm-vm", "a virtual machine", "end it" },
	{ "anon_inode:kvm-vcpu", "a virtual machine", "end it" },
	{ "anon_inode:[fscontext]", "a file system context", "close it" },
	{ "anon_inode:sync_file", "a graphics fence", "close it" },
	{ "anon_inode:dmabuf", "a graphics buffer", "close it" },
	{ "/dmabuf:", "a graphics buffer", "close it" },
	{ "mnt:[", "a namespace", "close it" },
	{ "net:[", "a namespace", "close it" },
	{ "pid:[", "a namespace", "close it" },
	{ "user:[", "a namespace", "close it" },
	{ "uts:[", "a namespace", "close it" },
	{ "ipc:[", "a namespace", "close it" },
	{ "cgroup:[", "a namespace", "close it" },
	{ "time:[", "a namespace", "close it" },
};

static const char *family_name(int family)
{
	static const char *const names[] = {
		[AF_AX25] = "AF_AX25", [AF_IPX] = "AF_IPX", [AF_APPLETALK] = "AF_APPLETALK", [AF_X25] = "AF_X25",
		[AF_KEY] = "AF_KEY (IPsec keys)", [AF_RDS] = "AF_RDS", [AF_PPPOX] = "AF_PPPOX (PPP, L2TP)", [AF_LLC] = "AF_LLC",
		[AF_CAN] = "AF_CAN", [AF_TIPC] = "AF_TIPC", [AF_BLUETOOTH] = "AF_BLUETOOTH", [AF_RXRPC] = "AF_RXRPC",
		[AF_PHONET] = "AF_PHONET", [AF_IEEE802154] = "AF_IEEE802154", [AF_ALG] = "AF_ALG (the kernel's ciphers)",
		[AF_NFC] = "AF_NFC", [AF_VSOCK] = "AF_VSOCK (virtual machines)", [AF_KCM] = "AF_KCM", [AF_QIPCRTR] = "AF_QIPCRTR",
		[AF_SMC] = "AF_SMC", [AF_XDP] = "AF_XDP (rings of packets)", [45] = "AF_MCTP",
	};

	return family >= 0 && (size_t)family < sizeof(names) / sizeof(names[0]) ? names[family] : NULL;
}

static bool unsupported_match(const struct probe *p)
{
	(void)p;
	return true;
}

static int unsupported_collect(struct collection *c, const struct probe *p, void *rec)
{
	(void)rec;
	for (size_t i = 0; i < sizeof(unsupported_names) / sizeof(unsupported_names[0]); i++)
		if (blob_starts(p->path, unsupported_names[i].path))
			return collection_refuse(c, p, -EOPNOTSUPP, "%s is not supported: %s", unsupported_names[i].name,
						 unsupported_names[i].remedy);
	if (S_ISSOCK(p->st.st_mode) && family_name(p->family))
		return collection_refuse(c, p, -EOPNOTSUPP, "a socket of family %s is not supported: close it", family_name(p->family));
	if (S_ISSOCK(p->st.st_mode))
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "a socket of family %d, type %d, protocol %d is not supported: close it",
					 p->family, p->type, p->protocol);
	if (S_ISCHR(p->st.st_mode) || S_ISBLK(p->st.st_mode))
		return collection_refuse(c, p, -EOPNOTSUPP, "the device %.*s (%u:%u) is not supported: close it",
					 (int)p->path.n, (const char *)p->path.p, major(p->st.st_rdev), minor(p->st.st_rdev));
	return collection_refuse(c, p, -EOPNOTSUPP, "%.*s is not supported: close it", (int)p->path.n,
				 (const char *)p->path.p);
}

static int unsupported_create(struct rebuild *r, uint32_t obj, void *rec)
{
	(void)r;
	(void)obj;
	(void)rec;
	return failed(-EINVAL, "the image holds a descriptor that no checkpoint makes");
}

const struct kind kind_unsupported = {
	.tag = "unsupported", .size = sizeof(struct unsupported), .fields = unsupported_fields,
	.match = unsupported_match, .collect = unsupported_collect, .create = unsupported_create,
};

/*
 * tables.c - the fields of the records of task.h and image.h
 *
 * One row a member, in the order of the struct; the order on disk.
 */
#include "skshim/image.h"
#include "skshim/task.h"

#include "skshim/frozen.h"

const struct field fields_siginfo[] = {
	FIELD_I32(struct siginfo_record, sig),
	FIELD_BIN(struct siginfo_record, info),
	FIELD_END
};

const struct field fields_thread[] = {
	FIELD_I32(struct thread_record, tid),
	FIELD_STR(struct thread_record, comm),
	FIELD_U64(struct thread_record, resume_sp),
	FIELD_U64(struct thread_record, resume_pc),
	FIELD_U64(struct thread_record, frame),
	FIELD_U64(struct thread_record, pc),
	FIELD_U64(struct thread_record, sp),
	FIELD_U64(struct thread_record, fp),
	FIELD_U64(struct thread_record, fs_base),
	FIELD_U64(struct thread_record, gs_base),
	FIELD_U64(struct thread_record, clear_tid),
	FIELD_U64(struct thread_record, robust_list),
	FIELD_U64(struct thread_record, robust_len),
	FIELD_U64(struct thread_record, rseq),
	FIELD_U32(struct thread_record, rseq_len),
	FIELD_U32(struct thread_record, rseq_sig),
	FIELD_I32(struct thread_record, syscall),
	FIELD_U32(struct thread_record, sched_policy),
	FIELD_I32(struct thread_record, nice),
	FIELD_I32(struct thread_record, sched_priority),
	FIELD_U64(struct thread_record, sched_runtime),
	FIELD_U64(struct thread_record, sched_deadline),
	FIELD_U64(struct thread_record, sched_period),
	FIELD_U64(struct thread_record, sched_flags),
	FIELD_BIN(struct thread_record, affinity),
	FIELD_U64(struct thread_record, timerslack),
	FIELD_U32(struct thread_record, no_new_privs),
	FIELD_U32(struct thread_record, seccomp),
	FIELD_U64(struct thread_record, cap_effective),
	FIELD_U64(struct thread_record, cap_permitted),
	FIELD_U64(struct thread_record, cap_inheritable),
	FIELD_U64(struct thread_record, cap_bounding),
	FIELD_U64(struct thread_record, cap_ambient),
	FIELD_U32(struct thread_record, securebits),
	FIELD_U32(struct thread_record, keepcaps),
	FIELD_U32(struct thread_record, pdeathsig),
	FIELD_LIST(struct thread_record, pending, struct siginfo_record, fields_siginfo),
	FIELD_END
};

const struct field fields_sigaction[] = {
	FIELD_U32(struct sigaction_record, sig),
	FIELD_U64(struct sigaction_record, handler),
	FIELD_U64(struct sigaction_record, flags),
	FIELD_U64(struct sigaction_record, restorer),
	FIELD_U64(struct sigaction_record, mask),
	FIELD_END
};

const struct field fields_timer[] = {
	FIELD_I32(struct timer_record, id),
	FIELD_I32(struct timer_record, clock),
	FIELD_I32(struct timer_record, notify),
	FIELD_I32(struct timer_record, signo),
	FIELD_I32(struct timer_record, tid),
	FIELD_U64(struct timer_record, value),
	FIELD_U64(struct timer_record, interval_ns),
	FIELD_U64(struct timer_record, left_ns),
	FIELD_U32(struct timer_record, absolute_expired),
	FIELD_END
};

const struct field fields_itimer[] = {
	FIELD_U64(struct itimer_record, interval_us),
	FIELD_U64(struct itimer_record, left_us),
	FIELD_END
};

const struct field fields_fd[] = {
	FIELD_I32(struct fd_record, fd),
	FIELD_U32(struct fd_record, cloexec),
	FIELD_OBJ(struct fd_record, obj),
	FIELD_END
};

const struct field fields_object[] = {
	FIELD_OBJ(struct object_record, obj),
	FIELD_STR(struct object_record, kind),
	FIELD_U32(struct object_record, flags),
	FIELD_I32(struct object_record, owner_type),
	FIELD_I32(struct object_record, owner),
	FIELD_I32(struct object_record, owner_sig),
	FIELD_U64(struct object_record, cookie),
	FIELD_I32(struct object_record, fd),
	FIELD_STR(struct object_record, loss),
	FIELD_U32_ADDED(struct object_record, mode),
	FIELD_U32_ADDED(struct object_record, uid),
	FIELD_U32_ADDED(struct object_record, gid),
	FIELD_END
};

const struct field fields_vma[] = {
	FIELD_U64(struct vma_record, start),
	FIELD_U64(struct vma_record, end),
	FIELD_U32(struct vma_record, prot),
	FIELD_U32(struct vma_record, map_flags),
	FIELD_U32(struct vma_record, content),
	FIELD_U32(struct vma_record, advice),
	FIELD_U64(struct vma_record, offset),
	FIELD_U32(struct vma_record, file),
	FIELD_U32(struct vma_record, shm),
	FIELD_STR(struct vma_record, name),
	FIELD_END
};

const struct field fields_file[] = {
	FIELD_STR(struct file_record, path),
	FIELD_U64(struct file_record, dev),
	FIELD_U64(struct file_record, ino),
	FIELD_U64(struct file_record, size),
	FIELD_I64(struct file_record, mtime_ns),
	FIELD_U32(struct file_record, mode),
	FIELD_BIN(struct file_record, build_id),
	FIELD_U64(struct file_record, hash),
	FIELD_U32(struct file_record, open_flags),
	FIELD_END
};

const struct field fields_run[] = {
	FIELD_U64(struct run_record, start),
	FIELD_U64(struct run_record, pages),
	FIELD_U64(struct run_record, at),
	FIELD_U64(struct run_record, hash),
	FIELD_END
};

const struct field fields_shared[] = {
	FIELD_U32(struct shared_record, kind),
	FIELD_U64(struct shared_record, dev),
	FIELD_U64(struct shared_record, ino),
	FIELD_STR(struct shared_record, name),
	FIELD_U64(struct shared_record, size),
	FIELD_U32(struct shared_record, mode),
	FIELD_U32(struct shared_record, uid),
	FIELD_U32(struct shared_record, gid),
	FIELD_I32(struct shared_record, key),
	FIELD_U32(struct shared_record, flags),
	FIELD_END
};

const struct field fields_aio[] = {
	FIELD_U64(struct aio_record, start),
	FIELD_BIN(struct aio_record, events),
	FIELD_END
};

const struct field fields_range[] = {
	FIELD_U64(struct range_record, start),
	FIELD_U64(struct range_record, end),
	FIELD_END
};

const struct field fields_piece[] = {
	FIELD_U64(struct piece_record, at),
	FIELD_BIN(struct piece_record, bytes),
	FIELD_END
};

const struct field fields_ipc[] = {
	FIELD_U32(struct ipc_record, type),
	FIELD_I32(struct ipc_record, id),
	FIELD_I32(struct ipc_record, key),
	FIELD_U32(struct ipc_record, mode),
	FIELD_U32(struct ipc_record, uid),
	FIELD_U32(struct ipc_record, gid),
	FIELD_U64(struct ipc_record, size),
	FIELD_BIN(struct ipc_record, values),
	FIELD_LIST(struct ipc_record, pieces, struct piece_record, fields_piece),
	FIELD_END
};

const struct field fields_process[] = {
	FIELD_I32(struct process_record, pid),
	FIELD_I32(struct process_record, ppid),
	FIELD_I32(struct process_record, pgid),
	FIELD_I32(struct process_record, sid),
	FIELD_U32(struct process_record, session_gone),
	FIELD_U32(struct process_record, group_gone),
	FIELD_I32(struct process_record, tty_pgrp),
	FIELD_U64(struct process_record, tty_dev),
	FIELD_U64(struct process_record, start_time),
	FIELD_STR(struct process_record, comm),
	FIELD_STR(struct process_record, exe),
	FIELD_STR(struct process_record, cmdline),
	FIELD_STR(struct process_record, cwd),
	FIELD_STR(struct process_record, root),
	FIELD_U32(struct process_record, exe_file),
	FIELD_U32(struct process_record, umask),
	FIELD_U32(struct process_record, dumpable),
	FIELD_U32(struct process_record, subreaper),
	FIELD_U32(struct process_record, personality),
	FIELD_U32(struct process_record, thp_disable),
	FIELD_I32(struct process_record, oom_score_adj),
	FIELD_U32(struct process_record, ruid),
	FIELD_U32(struct process_record, euid),
	FIELD_U32(struct process_record, suid),
	FIELD_U32(struct process_record, fsuid),
	FIELD_U32(struct process_record, rgid),
	FIELD_U32(struct process_record, egid),
	FIELD_U32(struct process_record, sgid),
	FIELD_U32(struct process_record, fsgid),
	FIELD_BIN(struct process_record, groups),
	FIELD_BIN(struct process_record, rlimits),
	FIELD_U64(struct process_record, start_code),
	FIELD_U64(struct process_record, end_code),
	FIELD_U64(struct process_record, start_data),
	FIELD_U64(struct process_record, end_data),
	FIELD_U64(struct process_record, start_brk),
	FIELD_U64(struct process_record, brk),
	FIELD_U64(struct process_record, start_stack),
	FIELD_U64(struct process_record, arg_start),
	FIELD_U64(struct process_record, arg_end),
	FIELD_U64(struct process_record, env_start),
	FIELD_U64(struct process_record, env_end),
	FIELD_BIN(struct process_record, auxv),
	FIELD_BIN(struct process_record, vdso_build_id),
	FIELD_I32(struct process_record, leader_tid),
	FIELD_LIST(struct process_record, itimers, struct itimer_record, fields_itimer),
	FIELD_LIST(struct process_record, sigactions, struct sigaction_record, fields_sigaction),
	FIELD_LIST(struct process_record, timers, struct timer_record, fields_timer),
	FIELD_LIST(struct process_record, pending, struct siginfo_record, fields_siginfo),
	FIELD_LIST(struct process_record, threads, struct thread_record, fields_thread),
	FIELD_LIST(struct process_record, fds, struct fd_record, fields_fd),
	FIELD_LIST(struct process_record, vmas, struct vma_record, fields_vma),
	FIELD_LIST(struct process_record, files, struct file_record, fields_file),
	FIELD_U64(struct process_record, handover),
	FIELD_U64(struct process_record, ledger),
	FIELD_U64(struct process_record, ledger_size),
	FIELD_LIST(struct process_record, shared, struct shared_record, fields_shared),
	FIELD_LIST(struct process_record, guards, struct range_record, fields_range),
	FIELD_LIST(struct process_record, ipc, struct ipc_record, fields_ipc),
	FIELD_U64_ADDED(struct process_record, cwd_dev),
	FIELD_U64_ADDED(struct process_record, cwd_ino),
	FIELD_U32_ADDED(struct process_record, cwd_mode),
	FIELD_U32_ADDED(struct process_record, fs_of),
	FIELD_U32_ADDED(struct process_record, first_ended),
	FIELD_U32_ADDED(struct process_record, first_status),
	FIELD_U32_ADDED(struct process_record, files_of),
	FIELD_U32_ADDED(struct process_record, pkeys),
	FIELD_U32_ADDED(struct process_record, pkey_exec),
	FIELD_U64_ADDED(struct process_record, view),
	FIELD_U64_ADDED(struct process_record, born_ns),
	FIELD_LIST_ADDED(struct process_record, aio, struct aio_record, fields_aio),
	FIELD_END
};

const struct field fields_member[] = {
	FIELD_U32(struct member_record, process),
	FIELD_U32(struct member_record, obj),
	FIELD_U32(struct member_record, global),
	FIELD_END
};

const struct field fields_file_sum[] = {
	FIELD_STR(struct file_sum_record, name),
	FIELD_U64(struct file_sum_record, size),
	FIELD_U64(struct file_sum_record, hash),
	FIELD_END
};

const struct field fields_dead[] = {
	FIELD_I32(struct dead_record, pid),
	FIELD_I32(struct dead_record, ppid),
	FIELD_I32(struct dead_record, pgid),
	FIELD_I32(struct dead_record, sid),
	FIELD_I32(struct dead_record, status),
	FIELD_U32_ADDED(struct dead_record, parent_tid),
	FIELD_U32_ADDED(struct dead_record, exit_signal),
	FIELD_STR_ADDED(struct dead_record, comm),
	FIELD_END
};

const struct field fields_pid[] = {
	FIELD_I32(struct pid_record, pid),
	FIELD_U32_ADDED(struct pid_record, parent_tid),
	FIELD_U32_ADDED(struct pid_record, exit_signal),
	FIELD_END
};

const struct field fields_manifest[] = {
	FIELD_U32(struct manifest_record, version),
	FIELD_STR(struct manifest_record, arch),
	FIELD_STR(struct manifest_record, release),
	FIELD_STR(struct manifest_record, host),
	FIELD_STR(struct manifest_record, boot_id),
	FIELD_I64(struct manifest_record, realtime_ns),
	FIELD_I64(struct manifest_record, monotonic_ns),
	FIELD_I64(struct manifest_record, boottime_ns),
	FIELD_U32(struct manifest_record, page_size),
	FIELD_U32(struct manifest_record, xsave_size),
	FIELD_U64(struct manifest_record, xcr0),
	FIELD_STR(struct manifest_record, cpu),
	FIELD_I32(struct manifest_record, root_pid),
	FIELD_U32(struct manifest_record, generation),
	FIELD_U32(struct manifest_record, stopped),
	FIELD_U32(struct manifest_record, signal),
	FIELD_U32(struct manifest_record, after_exit),
	FIELD_U32(struct manifest_record, after_code),
	FIELD_U32(struct manifest_record, keep),
	FIELD_U32(struct manifest_record, log_level),
	FIELD_U32(struct manifest_record, backtrace),
	FIELD_U32_ADDED(struct manifest_record, files_written),
	FIELD_U64_ADDED(struct manifest_record, files_most),
	FIELD_STR(struct manifest_record, checkpoint_dir),
	FIELD_STR(struct manifest_record, log_path),
	FIELD_STR(struct manifest_record, shim_path),
	FIELD_STR(struct manifest_record, preload),
	FIELD_STR(struct manifest_record, command),
	FIELD_LIST(struct manifest_record, processes, struct pid_record, fields_pid),
	FIELD_LIST(struct manifest_record, dead, struct dead_record, fields_dead),
	FIELD_LIST(struct manifest_record, members, struct member_record, fields_member),
	FIELD_U32(struct manifest_record, objects),
	FIELD_LIST(struct manifest_record, files, struct file_sum_record, fields_file_sum),
	FIELD_END
};

const struct field fields_frame[] = {
	FIELD_U64(struct frame_record, address),
	FIELD_STR(struct frame_record, module),
	FIELD_U64(struct frame_record, offset),
	FIELD_STR(struct frame_record, function),
	FIELD_END
};

const struct field fields_lineage[] = {
	FIELD_OBJ(struct lineage_record, obj),
	FIELD_U32(struct lineage_record, origin),
	FIELD_I32(struct lineage_record, pid),
	FIELD_I32(struct lineage_record, tid),
	FIELD_I64(struct lineage_record, when),
	FIELD_STR(struct lineage_record, program),
	FIELD_U64(struct lineage_record, mate),
	FIELD_U64(struct lineage_record, listener),
	FIELD_I32(struct lineage_record, backlog),
	FIELD_BIN(struct lineage_record, bound),
	FIELD_BIN(struct lineage_record, peer),
	FIELD_U64(struct lineage_record, cwd_dev),
	FIELD_U64(struct lineage_record, cwd_ino),
	FIELD_U64(struct lineage_record, file_dev),
	FIELD_U64(struct lineage_record, file_ino),
	FIELD_STR(struct lineage_record, file_path),
	FIELD_STR(struct lineage_record, cwd),
	FIELD_BIN(struct lineage_record, notes),
	FIELD_U32(struct lineage_record, notes_lost),
	FIELD_LIST(struct lineage_record, frames, struct frame_record, fields_frame),
	FIELD_END
};

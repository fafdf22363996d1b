/*
 * context.S - saving a place in the shim to come back to, also in a restarted process
 *
 * struct context (stop.h): rbx rbp r12 r13 r14 r15 rsp rip, 8 bytes each.
 */
	.text

/* int context_save(struct context *): 0 when saving, 1 when resumed. */
	.globl context_save
	.hidden context_save
	.type context_save, @function
context_save:
	mov %rbx, 0(%rdi)
	mov %rbp, 8(%rdi)
	mov %r12, 16(%rdi)
	mov %r13, 24(%rdi)
	mov %r14, 32(%rdi)
	mov %r15, 40(%rdi)
	lea 8(%rsp), %rdx
	mov %rdx, 48(%rdi)
	mov (%rsp), %rdx
	mov %rdx, 56(%rdi)
	xor %eax, %eax
	ret
	.size context_save, .-context_save

/* Jumped to by the restorer, with the stack pointer at the struct context. Signals are blocked, so nothing is pushed. */
	.globl context_resume
	.hidden context_resume
	.type context_resume, @function
context_resume:
	mov %rsp, %rdi
	mov 0(%rdi), %rbx
	mov 8(%rdi), %rbp
	mov 16(%rdi), %r12
	mov 24(%rdi), %r13
	mov 32(%rdi), %r14
	mov 40(%rdi), %r15
	mov 48(%rdi), %rsp
	cld
	mov $1, %eax
	jmp *56(%rdi)
	.size context_resume, .-context_resume

/* void context_call(void (*fn)(void *), void *arg, void *stack_top): calls fn on another stack. */
	.globl context_call
	.hidden context_call
	.type context_call, @function
context_call:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register %rbp
	mov %rdx, %rsp
	and $-16, %rsp
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	mov %rbp, %rsp
	pop %rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size context_call, .-context_call

/* long context_clone(long flags, void *stack_top, int (*fn)(void *), void *arg): clone; the child runs fn(arg) and exits with it. */
	.globl context_clone
	.hidden context_clone
	.type context_clone, @function
context_clone:
	mov %rdx, %r8
	mov %rcx, %r9
	xor %edx, %edx
	xor %r10d, %r10d
	mov %r8, -8(%rsi)
	mov %r9, -16(%rsi)
	sub $32, %rsi
	xor %r8d, %r8d
	mov $56, %eax
	syscall
	test %rax, %rax
	jz 1f
	ret
1:	mov 24(%rsp), %rax
	mov 16(%rsp), %rdi
	xor %ebp, %ebp
	call *%rax
	mov %eax, %edi
	mov $60, %eax
	syscall
	hlt
	.size context_clone, .-context_clone

/*
 * The place from which an interrupted call is made again with a shortened
 * timeout (redo.c). The stack pointer is at a struct redo below the program's
 * red zone. Every register but rax, rcx and r11 is as the program left it when
 * the call is over. The unwind rows say where the program's frame is, so that
 * cancellation unwinds through.
 */
	.globl redo_entry, redo_call, redo_after, redo_end
	.hidden redo_entry, redo_call, redo_after, redo_end
	.type redo_entry, @function
	.cfi_startproc
	/* CFA = *(rsp + 120); return address at *(rsp + 112) */
	.cfi_escape 0x0f, 0x04, 0x77, 0xf8, 0x00, 0x06
	.cfi_escape 0x10, 0x10, 0x03, 0x77, 0xf0, 0x00
	.cfi_escape 0x16, 0x07, 0x04, 0x77, 0xf8, 0x00, 0x06
	nop
redo_entry:
	/* first, wait for the socket as long as its own timeout has left */
	cmpq $0, 128(%rsp)
	je 2f
	lea 136(%rsp), %rdi
	mov $1, %esi
	lea 144(%rsp), %rdx
	xor %r10d, %r10d
	xor %r8d, %r8d
	mov $271, %eax
redo_poll:
	syscall
redo_polled:
	test %rax, %rax
	js 3f
	jnz 2f
	mov 160(%rsp), %rax
	jmp 3f
2:	mov 8(%rsp), %rax
	mov 16(%rsp), %rdi
	mov 24(%rsp), %rsi
	mov 32(%rsp), %rdx
	mov 40(%rsp), %r10
	mov 48(%rsp), %r8
	mov 56(%rsp), %r9
redo_call:
	syscall
redo_after:
	/* bytes that were passed on before: with those of this call, or alone where it failed */
	cmpq $0, 168(%rsp)
	je 3f
	test %rax, %rax
	jns 4f
	xor %eax, %eax
4:	add 168(%rsp), %rax
3:	mov 64(%rsp), %rdi
	mov 72(%rsp), %rsi
	mov 80(%rsp), %rdx
	mov 88(%rsp), %r10
	mov 96(%rsp), %r8
	mov 104(%rsp), %r9
	mov 112(%rsp), %rcx
	mov 120(%rsp), %rsp
	.cfi_def_cfa %rsp, 0
	.cfi_register %rip, %rcx
	jmp *%rcx
redo_end:
	.cfi_endproc
	.size redo_entry, .-redo_entry
	.globl redo_polled
	.hidden redo_polled

/*
 * long syscall(long nr, ...): glibc's loses the number before the call, and an
 * interrupted thread must show which call it was in. Here it stands in the red
 * zone, which signal delivery leaves alone.
 */
	.globl syscall, syscall_plain, syscall_after
	.hidden syscall_plain, syscall_after
	.type syscall, @function
syscall:
	.cfi_startproc
	cmp $317, %rdi                /* seccomp */
	je seccomp_call
	cmp $446, %rdi                /* landlock_restrict_self */
	je seccomp_call
	cmp $248, %rdi                /* add_key */
	je seccomp_call
	cmp $250, %rdi                /* keyctl */
	je seccomp_call
	cmp $157, %rdi                /* prctl(PR_SET_SECCOMP) */
	jne 2f
	cmp $22, %rsi
	je seccomp_call
2:
	cmp $272, %rdi                /* unshare */
	je namespace_call
	cmp $308, %rdi                /* setns */
	je namespace_call
	cmp $161, %rdi                /* chroot */
	je jail_call
	cmp $43, %rdi                 /* accept */
	je socket_call
	cmp $54, %rdi                 /* setsockopt */
	je socket_call
	cmp $55, %rdi                 /* getsockopt */
	je socket_call
	cmp $288, %rdi                /* accept4 */
	je socket_call
	cmp $57, %rdi                 /* fork */
	je process_call
	cmp $59, %rdi                 /* execve */
	je process_call
	cmp $322, %rdi                /* execveat */
	je process_call
	cmp $56, %rdi                 /* clone: memory and stack of its own, or C can't be on the way */
	jne 3f
	test $0x100, %esi             /* CLONE_VM */
	jnz 4f
	test %rdx, %rdx
	jz process_call
3:	cmp $435, %rdi                /* clone3, the same of its struct */
	jne 4f
	test %rsi, %rsi
	jz 4f
	cmp $64, %rdx
	jb 4f
	testl $0x100, (%rsi)
	jnz 4f
	cmpq $0, 40(%rsi)
	je process_call
4:	cmp $7, %rdi                /* poll: since when does it wait? */
	je syscall_timed
	cmp $35, %rdi               /* nanosleep */
	je syscall_timed
	cmp $202, %rdi              /* futex */
	je syscall_timed
	cmp $208, %rdi              /* io_getevents */
	je syscall_timed
	cmp $220, %rdi              /* semtimedop */
	je syscall_timed
	cmp $230, %rdi              /* clock_nanosleep */
	je syscall_timed
	cmp $232, %rdi              /* epoll_wait */
	je syscall_timed
	cmp $281, %rdi              /* epoll_pwait */
	je syscall_timed
	cmp $441, %rdi              /* epoll_pwait2 */
	je syscall_timed
	cmp $13, %rdi               /* rt_sigaction */
	je signals_syscall
	cmp $14, %rdi               /* rt_sigprocmask */
	je signals_syscall
	cmp $127, %rdi              /* rt_sigpending */
	je signals_syscall
	cmp $128, %rdi              /* rt_sigtimedwait */
	je signals_syscall
	cmp $130, %rdi              /* rt_sigsuspend */
	je signals_syscall
syscall_plain:
	mov %rdi, %rax
	mov %rdi, -8(%rsp)
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %r10
	mov %r9, %r8
	mov 8(%rsp), %r9
	syscall
syscall_after:
	cmp $-4095, %rax
	jae 1f
	ret
1:	mov %rax, %rdi
	jmp syscall_failed
	.cfi_endproc
	.size syscall, .-syscall

	.section .note.GNU-stack, "", @progbits

/*
 * alias.S - entering the program's handler of the checkpoint signal
 *
 * The kernel delivers SHIM_ALIAS; the program's handler must see its own
 * number, and a frame like any other. The action in the kernel holds all there
 * is to know: flags and mask are the program's, and sa_restorer, which the
 * kernel puts where a handler finds its return address, is the program's
 * handler. So there is no table beside the kernel's that could disagree with
 * it, and nothing to lock.
 */
	.text
	.globl	alias_once
	.hidden	alias_once
	.type	alias_once, @function
	.globl	alias_enter
	.hidden	alias_enter
	.type	alias_enter, @function
alias_once:
	push	%rdi
	push	%rsi
	push	%rdx
	call	signals_rearm
	pop	%rdx
	pop	%rsi
	pop	%rdi
alias_enter:
	mov	(%rsp), %rcx
	mov	signals_restorer(%rip), %rax
	mov	%rax, (%rsp)
	mov	signals_moved(%rip), %edi
	mov	%edi, (%rsi)
	xor	%eax, %eax
	jmp	*%rcx
	.size	alias_enter, . - alias_enter
	.size	alias_once, . - alias_once

	.globl	alias_ignored
	.hidden	alias_ignored
	.type	alias_ignored, @function
alias_ignored:
	nop
	.size	alias_ignored, . - alias_ignored

	.globl	alias_return
	.hidden	alias_return
	.type	alias_return, @function
alias_return:
	mov	$15, %rax
	syscall
	.size	alias_return, . - alias_return

	.section .note.GNU-stack, "", @progbits

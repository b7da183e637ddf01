/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For returns.c: fib(20) as the translator would write it, twice. R13: guest memory; R12: ESP; R14:
 * {generation, jump cache, flags' recipe}; R15: budget. void fn(void *guest, void *state, long rounds).
 */
#define AT_FIRST  0x1010	/* the guest's return addresses */
#define AT_SECOND 0x1020
#define AT_ALL	  0x3000

	.macro begin
	.irp r, rbx, rbp, r12, r13, r14, r15
	push %\r
	.endr
	mov %rdi, %r13
	mov %rsi, %r14
	mov %rdx, %rbp
	mov $0x8000, %r12d
	mov $1, %r15
	shl $60, %r15
	.endm

	.macro end
	.irp r, r15, r14, r13, r12, rbp, rbx
	pop %\r
	.endr
	ret
	.endm

	.macro gpush v
	lea -4(%r12), %r12d
	movl \v, (%r13, %r12)
	.endm

	.macro gpop r
	movl (%r13, %r12), \r
	lea 4(%r12), %r12d
	.endm

	.macro count n /* instructions of the next block */
	sub $\n, %r15
	js wrong
	.endm

	.macro is_at eip /* where the guest returns to */
	cmp $\eip, %r8d
	jne wrong
	.endm

	.text
wrong:	ud2

	.globl returns_by_cache, after_first, after_second, after_all
returns_by_cache:
	begin
1:	mov $20, %eax
	gpush $AT_ALL
	count 8
	jmp fib_by_cache
after_all:
	count 2
	dec %rbp
	jnz 1b
	end

	.p2align 4
fib_by_cache:
	cmp $2, %eax
	jb 2f
	gpush %ebx
	gpush %esi
	mov %eax, %ebx
	lea -1(%eax), %eax
	gpush $AT_FIRST
	count 8
	jmp fib_by_cache
after_first:
	count 5
	mov %eax, %esi
	lea -2(%ebx), %eax
	gpush $AT_SECOND
	count 8
	jmp fib_by_cache
after_second:
	count 4
	add %esi, %eax
	gpop %esi
	gpop %ebx
2:	gpop %r8d
	movl $0, 16(%r14)
	movzwl %r8w, %r9d
	shl $4, %r9d
	add 8(%r14), %r9
	mov (%r14), %r11
	add %r8, %r11
	cmp (%r9), %r11
	jne wrong
	jmp *8(%r9)

	.globl returns_by_host
returns_by_host:
	begin
1:	mov $20, %eax
	gpush $AT_ALL
	call 2f
	is_at AT_ALL
	count 2
	dec %rbp
	jnz 1b
	end
2:	count 8

	.p2align 4
fib_by_host:
	cmp $2, %eax
	jb 3f
	gpush %ebx
	gpush %esi
	mov %eax, %ebx
	lea -1(%eax), %eax
	gpush $AT_FIRST
	call 4f
	is_at AT_FIRST
	count 5
	mov %eax, %esi
	lea -2(%ebx), %eax
	gpush $AT_SECOND
	call 4f
	is_at AT_SECOND
	count 4
	add %esi, %eax
	gpop %esi
	gpop %ebx
3:	gpop %r8d
	movl $0, 16(%r14)
	ret
4:	count 8
	jmp fib_by_host

	.section .note.GNU-stack, "", @progbits

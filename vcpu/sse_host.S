/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One small function for each row of sse.def that the host's own instruction does: reg is XMM2, MM2 or EDX; rm is XMM1, MM1, ECX
 * or memory at RCX; XMM0, EAX and EDX are there for what reads them besides. With an imm8 there is one for each value, 8 bytes
 * apart. And the functions that call them.
 */
	.text

#define BYTES_NP
#define BYTES_P66  .byte 0x66 ;
#define BYTES_PF3  .byte 0xf3 ;
#define BYTES_PF2  .byte 0xf2 ;
#define BYTES_0F   .byte 0x0f ;
#define BYTES_0F38 .byte 0x0f, 0x38 ;
#define BYTES_0F3A .byte 0x0f, 0x3a ;

#define LABEL(l) .balign 8 ; .globl l ; .hidden l ; l: ;
#define FOR_EACH_IMM(mask, ...)         \
	.set sse_i, 0 ;                 \
	.rept mask + 1 ;                \
	.balign 8 ;                     \
	__VA_ARGS__, sse_i ; ret ;      \
	.set sse_i, sse_i + 1 ;         \
	.endr

#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa)                              \
	LABEL(sse_reg_##pfx##_##map##_##op) BYTES_##pfx BYTES_##map .byte 0x##op, 0xd1 ; ret ; \
	LABEL(sse_mem_##pfx##_##map##_##op) BYTES_##pfx BYTES_##map .byte 0x##op, 0x11 ; ret
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask) \
	LABEL(sse_reg_##pfx##_##map##_##op)                       \
	FOR_EACH_IMM(mask, BYTES_##pfx BYTES_##map .byte 0x##op, 0xd1)
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler)
#define SSE_HEAD(pfx, op, group)
#define SSE_G(group, ext, pfx, op, name, rm, isa) \
	LABEL(sse_reg_##group##_##ext)            \
	FOR_EACH_IMM(0xff, BYTES_##pfx .byte 0x0f, 0x##op, 0xc1 | ext << 3)
#include "sse.def"

/* struct frame of sse.c */
#define FRAME_REG	0
#define FRAME_RM	16
#define FRAME_X0	32
#define FRAME_RM_OUT	48
#define FRAME_MM_REG	64
#define FRAME_MM_RM	72
#define FRAME_RCX	80
#define FRAME_EAX	88
#define FRAME_EDX	92
#define FRAME_FLAGS	96
#define FRAME_MXCSR	104
#define FRAME_HOST	108

#define LOAD_XMM                         \
	movaps FRAME_REG(%rsi), %xmm2 ;  \
	movaps FRAME_RM(%rsi), %xmm1 ;   \
	movaps FRAME_X0(%rsi), %xmm0
#define LOAD_MMX                         \
	movq FRAME_MM_REG(%rsi), %mm2 ;  \
	movq FRAME_MM_RM(%rsi), %mm1
#define LOAD_GPR                         \
	movl FRAME_EAX(%rsi), %eax ;     \
	movl FRAME_EDX(%rsi), %edx ;     \
	movq FRAME_RCX(%rsi), %rcx
#define STORE_XMM                        \
	movaps %xmm2, FRAME_REG(%rsi) ;  \
	movaps %xmm1, FRAME_RM_OUT(%rsi) ; \
	movaps %xmm0, FRAME_X0(%rsi)
#define STORE_MMX                        \
	movq %mm2, FRAME_MM_REG(%rsi) ;  \
	movq %mm1, FRAME_MM_RM(%rsi) ;   \
	emms
#define STORE_GPR                        \
	pushfq ;                         \
	popq FRAME_FLAGS(%rsi) ;         \
	movl %edx, FRAME_EDX(%rsi) ;     \
	movq %rcx, FRAME_RCX(%rsi)
#define ENTER_FP                         \
	stmxcsr FRAME_HOST(%rsi) ;       \
	ldmxcsr FRAME_MXCSR(%rsi)
#define LEAVE_FP                         \
	stmxcsr FRAME_MXCSR(%rsi) ;      \
	ldmxcsr FRAME_HOST(%rsi)
#define FUNCTION(f) .balign 16 ; .globl f ; .hidden f ; .type f, @function ; f:

/* void f(const void *insn, struct frame *f) */
FUNCTION(sse_host_run)
	LOAD_XMM
	LOAD_GPR
	call *%rdi
	STORE_GPR
	STORE_XMM
	ret

FUNCTION(sse_host_run_fp)
	LOAD_XMM
	LOAD_GPR
	ENTER_FP
	call *%rdi
	STORE_GPR
	LEAVE_FP
	STORE_XMM
	ret

FUNCTION(sse_host_run_mmx)
	LOAD_XMM
	LOAD_MMX
	LOAD_GPR
	ENTER_FP
	call *%rdi
	STORE_GPR
	LEAVE_FP
	STORE_MMX
	STORE_XMM
	ret

/* void f(const void *insn, union xmm_reg *reg, const void *rm): for the register forms alone; rm at any address */
FUNCTION(sse_host_xx)
	movaps (%rsi), %xmm2
	movups (%rdx), %xmm1
	call *%rdi
	movaps %xmm2, (%rsi)
	ret

/* The same with uint32_t mxcsr[2]: [0] the guest's, in and out; [1] the host's meanwhile */
FUNCTION(sse_host_xx_fp)
	movaps (%rsi), %xmm2
	movups (%rdx), %xmm1
	stmxcsr 4(%rcx)
	ldmxcsr (%rcx)
	call *%rdi
	stmxcsr (%rcx)
	ldmxcsr 4(%rcx)
	movaps %xmm2, (%rsi)
	ret

	.section .note.GNU-stack, "", @progbits

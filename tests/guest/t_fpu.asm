; SPDX-License-Identifier: GPL-2.0-or-later
; x87 as programs and operating systems meet it: #MF, #NM, lazy switching, environments of each mode, operands that fault, and
; known results. The numbers themselves are tests/vcpu/test_fpu_*.c's business. SDM vol. 1, ch. 8.
%define TEST_NAME "t_fpu"
%include "lib.inc"

%define EXC_MF 16
%define S(n) (FREE_SEL + (n) * 8)
%define BUF 0x300000

%define SW_ZE 0x04
%define SW_ES 0x80

; The control word
%macro SETCW 1
	mov word [cw], %1
	fldcw [cw]
%endmacro

%macro CHECK_SW 1		; all but TOP
	fnstsw ax
	and eax, 0xc7ff
	CHECK_EQ eax, %1
%endmacro

; CHECK_M80 se, high, low: ST0, popped
%macro CHECK_M80 3
	fstp tword [BUF]
	movzx eax, word [BUF + 8]
	CHECK_EQ eax, %1
	CHECK_EQ dword [BUF + 4], %2
	CHECK_EQ dword [BUF], %3
%endmacro

test_main:
	mov eax, cr0
	or eax, 0x22		; NE MP
	and eax, ~0x0c
	mov cr0, eax
	call initial
	call exceptions
	call no_device
	call compare
	call arithmetic
	call conversions
	call functions
	call environment
	call save
	call fx
	call operands
	call v86
	ret

initial:
	fninit
	fnstcw [cw]
	CHECK_EQ16 [cw], 0x37f
	fnstsw ax
	CHECK_EQ16 ax, 0
	fnstenv [BUF]
	CHECK_EQ dword [BUF], 0xffff037f
	CHECK_EQ dword [BUF + 4], 0xffff0000
	CHECK_EQ dword [BUF + 8], 0xffffffff
	ret

exceptions:
	fninit
	SETCW 0x37b		; ZM clear
	fldz
	fld1
.fdiv:	fdiv st1		; nothing happens here
	CHECK_SW SW_ZE | SW_ES | 0x8000
	FAULTS EXC_MF, -1, fwait
	FAULTS EXC_MF, -1, fld1
	FAULTS EXC_MF, -1, fst dword [BUF]
	FAULTS EXC_MF, -1, fldcw [cw]
	WORKS fnstcw [cw]
	; The handler's way: FNSTENV masks all, FIP is the culprit's.
	WORKS fnstenv [BUF]
	CHECK_EQ dword [BUF + 12], .fdiv
	WORKS fwait
	fldenv [BUF]
	FAULTS EXC_MF, -1, fwait
	fnclex
	WORKS fwait
	; its operands are as they were
	CHECK_M80 0x3fff, 0x80000000, 0
	CHECK_M80 0, 0, 0
	; a pending one does not stop FNINIT
	fldz
	fld1
	fdiv st1
	fninit
	WORKS fwait
	; #UD comes before #MF, if both are due
	SETCW 0x37b
	fldz
	fld1
	fdiv st1
	GUARD
	db 0xd9, 0xd1
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	fninit
	; stack overflow and underflow
	SETCW 0x37e
	fadd st1
	CHECK_SW 0x80c1
	fninit
	times 8 fld1
	fld1
	fnstsw ax
	CHECK_EQ16 ax, 0x0241 | 7 << 11
	CHECK_M80 0xffff, 0xc0000000, 0
	ret

; TS and EM: what a kernel does to switch FPU states lazily
no_device:
	fninit
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	FAULTS EXC_NM, -1, fld1
	FAULTS EXC_NM, -1, fninit
	FAULTS EXC_NM, -1, fwait
	FAULTS EXC_NM, -1, fnstsw ax
	mov eax, cr0
	and eax, ~2		; MP: WAIT does not care any more
	mov cr0, eax
	WORKS fwait
	FAULTS EXC_NM, -1, fld1
	clts
	WORKS fld1
	mov eax, cr0
	or eax, 4		; EM
	mov cr0, eax
	FAULTS EXC_NM, -1, fld1
	WORKS fwait
	and eax, ~4
	or eax, 2
	mov cr0, eax
	WORKS fld1
	ret

compare:
	fninit
	fldpi
	fld1
	push dword 0x8d7
	popfd
	fcomi st1		; 1 < pi
	CHECK_FLAGS 0x8d5, 0x001
	fxch
	fcomi st1
	CHECK_FLAGS 0x8d5, 0x000
	fcomi st0
	CHECK_FLAGS 0x8d5, 0x040
	fldz
	fdiv st0		; NaN
	fucomi st1
	CHECK_FLAGS 0x8d5, 0x045
	fstp st0
	fcom st1
	fnstsw ax
	sahf
	CHECK_FLAGS 0x45, 0
	; FCMOV: below
	stc
	fcmovb st0, st1
	CHECK_M80 0x3fff, 0x80000000, 0
	clc
	fldpi
	fcmovb st0, st1
	CHECK_M80 0x4000, 0xc90fdaa2, 0x2168c235
	ftst
	fnstsw ax
	CHECK_EQ16 ax, 0x3801	; TOP 7; IE is the NaN's
	fxam
	fnstsw ax
	and eax, 0x4700
	CHECK_EQ eax, 0x0400
	ret

%define H64 0x4001, 0xef88fa2f, 0xa730cec0
%define H53 0x4001, 0xef88fa2f, 0xa730a800
%define H24 0x4001, 0xef88fc00, 0x00000000
%define H64Z 0x4001, 0xef88fa2f, 0xa730ce7e
%define PREM 0x3fff, 0xd634898f, 0x731ab34a

; The 1000th harmonic number, in each precision: sums of inexact quotients
%macro HARMONIC 4		; control word, result
	fninit
	SETCW %1
	fldz
	mov ecx, 1000
%%loop:	mov [BUF], ecx
	fld1
	fidiv dword [BUF]
	faddp st1
	loop %%loop
	CHECK_M80 %2, %3, %4
%endmacro

arithmetic:
	HARMONIC 0x37f, H64
	HARMONIC 0x27f, H53
	HARMONIC 0x07f, H24
	HARMONIC 0xf7f, H64Z
	; 2^0.5 squared is less than 2
	fninit
	fld1
	fadd st0
	fsqrt
	fmul st0
	CHECK_M80 0x3fff, 0xffffffff, 0xffffffff
	CHECK_SW 0x20
	; FPREM of 10^18 by pi: partial first
	fninit
	fldpi
	fild qword [ten18]
.again:	fprem
	fnstsw ax
	test ah, 4
	jnz .again
	CHECK_M80 PREM
	ret

conversions:
	fninit
	fild qword [ten18]
	fld1
	fsubp st1		; ten18 - 1
	fbstp [BUF]
	CHECK_EQ dword [BUF], 0x99999999
	CHECK_EQ dword [BUF + 4], 0x99999999
	CHECK_EQ16 [BUF + 8], 0x0099
	fbld [BUF]
	fistp qword [BUF]
	CHECK_EQ dword [BUF], 0xa763ffff
	CHECK_EQ dword [BUF + 4], 0x0de0b6b3
	; the four roundings of -2.5 and 3.5
	%assign rc 0
	%rep 4
	SETCW 0x37f | rc << 10
	fld dword [m2p5]
	fistp dword [BUF]
	fld dword [p3p5]
	fistp word [BUF + 4]
	movzx eax, byte [round_expect + rc * 2]
	movsx ecx, byte [round_expect + rc * 2 + 1]
	movzx edx, byte [BUF]
	CHECK_EQ edx, eax
	movsx edx, word [BUF + 4]
	CHECK_EQ edx, ecx
	%assign rc rc + 1
	%endrep
	fninit
	fldpi
	fst dword [BUF]
	CHECK_EQ dword [BUF], 0x40490fdb
	fst qword [BUF]
	CHECK_EQ dword [BUF], 0x54442d18
	CHECK_EQ dword [BUF + 4], 0x400921fb
	fistp word [BUF]
	fldpi
	fmul dword [big]
	fistp word [BUF]
	CHECK_EQ16 [BUF], 0x8000
	ret

functions:
	fninit
	fldpi
	fcos
	CHECK_M80 0xbfff, 0x80000000, 0
	fld1
	fld1
	fpatan
	CHECK_M80 0x3ffe, 0xc90fdaa2, 0x2168c235
	fld1
	fchs
	f2xm1
	CHECK_M80 0xbffe, 0x80000000, 0
	fld1
	fild dword [eight]
	fyl2x
	CHECK_M80 0x4000, 0xc0000000, 0
	; e = 2^(log2 e)
	fldl2e
	fld st0
	frndint
	fsub st1, st0
	fxch
	f2xm1
	fld1
	faddp st1
	fscale
	fstp st1
	fstp qword [BUF]
	CHECK_EQ dword [BUF + 4], 0x4005bf0a
	CHECK_EQ dword [BUF], 0x8b145769
	; out of range
	fld tword [huge]
	fsin
	fnstsw ax
	and eax, 0x400
	CHECK_EQ eax, 0x400
	ret

environment:
	fninit
	fld1
.insn:	fld dword [p3p5]
	fnstenv [BUF]
	CHECK_EQ dword [BUF + 8], 0xffff0fff
	CHECK_EQ dword [BUF + 12], .insn
	CHECK_EQ dword [BUF + 16], 0x01050000 | CODE32
	CHECK_EQ dword [BUF + 20], p3p5
	CHECK_EQ dword [BUF + 24], 0xffff0000 | DATA32
	o16 fnstenv [BUF + 64]
	CHECK_EQ dword [BUF + 64], 0x3000037f
	CHECK_EQ16 [BUF + 68], 0x0fff
	movzx ebx, word [BUF + 70]
	mov ecx, .insn
	movzx ecx, cx
	CHECK_EQ ebx, ecx
	CHECK_EQ16 [BUF + 72], CODE32
	CHECK_EQ16 [BUF + 76], DATA32
	; loaded with something else, it comes out again
	mov dword [BUF], 0xffff0c7f
	mov dword [BUF + 4], 0xffff4500
	mov dword [BUF + 8], 0xfffffffc
	mov dword [BUF + 12], 0x12345678
	fldenv [BUF]
	fnstenv [BUF + 64]
	CHECK_EQ dword [BUF + 64], 0xffff0c7f
	CHECK_EQ dword [BUF + 68], 0xffff4500
	CHECK_EQ dword [BUF + 76], 0x12345678
	ret

save:
	fninit
	fldpi
	fld1
	fnsave [BUF]
	CHECK_EQ dword [BUF + 28 + 4], 0x80000000
	CHECK_EQ16 [BUF + 28 + 8], 0x3fff
	CHECK_EQ dword [BUF + 38 + 4], 0xc90fdaa2
	fnstenv [BUF + 128]
	CHECK_EQ dword [BUF + 136], 0xffffffff
	frstor [BUF]
	fnstsw ax
	CHECK_EQ16 ax, 6 << 11
	CHECK_M80 0x3fff, 0x80000000, 0
	CHECK_M80 0x4000, 0xc90fdaa2, 0x2168c235
	ret

fx:
	mov eax, 1
	cpuid
	test edx, 1 << 24
	jz .end
	fninit
	fldpi
	fxsave [BUF]
	CHECK_EQ dword [BUF], 0x3800037f
	CHECK_EQ dword [BUF + 4] , 0x01eb0080	; FOP, tags by bits
	CHECK_EQ dword [BUF + 32 + 4], 0xc90fdaa2
	fnstenv [BUF + 512]
	CHECK_EQ dword [BUF + 520], 0xffff3fff	; FXSAVE does not initialize
	fninit
	fxrstor [BUF]
	CHECK_M80 0x4000, 0xc90fdaa2, 0x2168c235
	FAULTS EXC_GP, 0, fxsave [BUF + 8]
	FAULTS EXC_GP, 0, fxrstor [BUF + 4]
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	FAULTS EXC_NM, -1, fxsave [BUF]
	FAULTS EXC_NM, -1, fxrstor [BUF]
	clts
	; pending exceptions are carried, not raised
	SETCW 0x37b
	fninit
	SETCW 0x37b
	fldz
	fld1
	fdiv st1
	WORKS fxsave [BUF]
	WORKS fxrstor [BUF]
	FAULTS EXC_MF, -1, fwait
	fninit
.end:	ret

; Operands that reach beyond the limit: nothing moves
operands:
	SET_DESC S(0), BUF, 0x1007, D_P | D_DATA
	mov ax, S(0)
	mov fs, ax
	fninit
	fldpi
	mov dword [BUF + 0x1000], 0
	mov dword [BUF + 0x1004], 0
	FAULTS EXC_GP, 0, fstp tword [fs:0x1000]
	; Not looked at: how much of it has been written. Bochs splits the operand, dejavm does not.
	FAULTS EXC_GP, 0, fld tword [fs:0xfff]
	FAULTS EXC_GP, 0, fnsave [fs:0xfa0]
	FAULTS EXC_GP, 0, frstor [fs:0xfa0]
	FAULTS EXC_GP, 0, fadd qword [fs:0x1001]
	FAULTS EXC_GP, 0, fistp word [fs:0x1007]
	WORKS fst qword [fs:0x1000]
	CHECK_EQ dword [BUF + 0x1004], 0x400921fb
	fnstsw ax
	and ax, 0x3800
	CHECK_EQ16 ax, 7 << 11
	CHECK_M80 0x4000, 0xc90fdaa2, 0x2168c235
	; an unmasked exception forbids the store: then there is no fault either
	SETCW 0x37e
	WORKS fstp tword [fs:0x1000]
	fninit
	mov ax, DATA32
	mov fs, ax
	ret

; In v86 (and real) mode pointers are linear addresses.
v86:
	fninit
	RUN_V86 LOW(v86_code)
	CHECK_EQ dword [exc_vec], EXC_UD
	CHECK_EQ dword [0x7000 + 12], 0xffff0000 | (LOW(v86_code.insn) & 0xffff)
	CHECK_EQ dword [0x7000 + 16], 0x106
	CHECK_EQ dword [0x7000 + 20], 0xffff7a10
	CHECK_EQ dword [0x7000 + 24], 0
	CHECK_EQ16 [0x7040], 0x037f
	CHECK_EQ16 [0x7040 + 6], LOW(v86_code.insn)
	CHECK_EQ16 [0x7040 + 8], 0x106
	CHECK_EQ16 [0x7040 + 10], 0x7a10
	; #MF goes to the monitor
	mov dword [0x7a10], 0
	RUN_V86 LOW(v86_mf)
	CHECK_EQ dword [exc_vec], EXC_MF
	CHECK_EQ dword [exc_eip], LOW(v86_mf.wait)
	fninit
	ret

	section .low
	bits 16
v86_code:
	mov ax, 0x100
	mov ds, ax
.insn:	fld dword [0x6a10]
	o32 fnstenv [0x6000]
	o16 fnstenv [0x6040]
	ud2
v86_mf:
	mov word [0x7900], 0x37b
	fldcw [0x7900]
	fld1
	fdiv dword [0x7a10]
.wait:	fwait
	ud2
	bits 32

	section .data
	align 8
ten18:	dq 1000000000000000000
huge:	dt 1e19
m2p5:	dd -2.5
p3p5:	dd 3.5
big:	dd 1e6
eight:	dd 8
cw:	dw 0
round_expect:
	db -2, 4, -3, 3, -2, 4, -2, 3

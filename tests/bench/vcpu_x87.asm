; SPDX-License-Identifier: GPL-2.0-or-later
; Loops of x87 instructions for vcpu_mips. EAX: which one, in the order of vcpu_x87.def.
%define out 0x100000 ; not in the page of the code
	bits 32
	org 0x10000

	jmp [table + eax * 4]

; A loop: eight times the group, which is a macro.
%macro round 1
	finit
	fld qword [num]
	fld qword [two]
	align 16
%%again:
%rep 8
	%1
%endrep
	dec ecx
	jmp %%again
%endmacro

%macro l_ldst 0
	fld qword [num]
	fstp qword [out]
%endmacro
%macro l_add 0
	fadd qword [tiny]
%endmacro
%macro l_dot 0
	fld qword [num]
	fmul qword [tiny]
	faddp st1, st0
%endmacro
%macro l_mul 0
	fxch st1
	fmul st0, st2
%endmacro
%macro l_div 0
	fdiv qword [close]
%endmacro
%macro l_sqrt 0
	fld st0
	fsqrt
	fstp st1
%endmacro
%macro l_int 0
	fild dword [int]
	fistp dword [out]
%endmacro
%macro l_chop 0
	fldcw [chop]
	fist dword [out]
	fldcw [full]
%endmacro
%macro l_comi 0
	fucomi st0, st1
%endmacro
%macro l_com 0
	fcom qword [num]
	fnstsw ax
%endmacro
%macro l_prec 0
	fldcw [dbl]
	fadd qword [tiny]
	fldcw [full]
%endmacro
%macro l_sin 0
	fld qword [num]
	fsin
	fstp qword [out]
%endmacro
%macro l_sincos 0
	fld qword [num]
	fsincos
	fstp qword [out]
	fstp qword [out]
%endmacro
%macro l_tan 0
	fld qword [num]
	fptan
	fstp qword [out]
	fstp qword [out]
%endmacro
%macro l_2xm1 0
	fld qword [frac]
	f2xm1
	fstp qword [out]
%endmacro
%macro l_yl2x 0
	fld qword [num]
	fld qword [num]
	fyl2x
	fstp qword [out]
%endmacro
%macro l_patan 0
	fld qword [frac]
	fld qword [num]
	fpatan
	fstp qword [out]
%endmacro
%macro l_prem 0
	fld qword [frac]
	fld qword [num]
	fprem
	fstp qword [out]
	fstp qword [out]
%endmacro

r_ldst:	round l_ldst
r_add:	round l_add
r_dot:	round l_dot
r_mul:	finit
	fld1
	fld1
	fld1
	jmp r_mul2
r_div:	round l_div
r_sqrt:	round l_sqrt
r_int:	round l_int
r_chop:	round l_chop
r_comi:	round l_comi
r_com:	round l_com
r_prec:	round l_prec
r_sin:	round l_sin
r_sincos: round l_sincos
r_tan:	round l_tan
r_2xm1:	round l_2xm1
r_yl2x:	round l_yl2x
r_patan: round l_patan
r_prem:	round l_prem

	align 16
r_mul2:
%rep 8
	l_mul
%endrep
	dec ecx
	jmp r_mul2

	align 8
table:	dd r_ldst, r_add, r_dot, r_mul, r_div, r_sqrt, r_int, r_chop, r_comi, r_com, r_prec
	dd r_sin, r_sincos, r_tan, r_2xm1, r_yl2x, r_patan, r_prem
	align 8
num:	dq 3.7123456789
two:	dq 2.0
tiny:	dq 1.2345e-5
close:	dq 1.0000000123
frac:	dq 0.3712345
int:	dd 12345
full:	dw 0x37f
chop:	dw 0xf7f
dbl:	dw 0x27f

; SPDX-License-Identifier: GPL-2.0-or-later
; MMX: its registers are the x87's. Who may execute it, what it does to the x87's state, known results. SDM vol. 1, ch. 9;
; vol. 3, ch. 12.
%define TEST_NAME "t_mmx"
%include "lib.inc"

%define EXC_MF 16
%define BUF 0x300000

; CHECK_MM register, high, low
%macro CHECK_MM 3
	movq [BUF], %1
	CHECK_EQ dword [BUF + 4], %2
	CHECK_EQ dword [BUF], %3
%endmacro

; CHECK_ENV status word, tag word
%macro CHECK_ENV 2
	fnstenv [BUF + 64]
	CHECK_EQ16 [BUF + 68], %1
	CHECK_EQ16 [BUF + 72], %2
	fldenv [BUF + 64]
%endmacro

test_main:
	mov eax, cr0
	or eax, 0x22		; NE MP
	and eax, ~0x0c
	mov cr0, eax
	fninit
	mov eax, 1
	cpuid
	bt edx, 23
	jnc .none
	call gates
	call aliases
	call results
	call shifts
	call packs
	call operands
	ret
.none:	FAULTS EXC_UD, -1, paddb mm0, mm1
	FAULTS EXC_UD, -1, emms
	FAULTS EXC_UD, -1, movq mm0, [0xfffffff0]
	ret

gates:
	mov eax, cr0
	or eax, 8		; TS
	mov cr0, eax
	FAULTS EXC_NM, -1, paddb mm0, mm1
	FAULTS EXC_NM, -1, emms
	FAULTS EXC_NM, -1, movq mm0, [0xfffffff0]
	or eax, 4		; EM: #UD, and not the x87's #NM
	mov cr0, eax
	FAULTS EXC_UD, -1, paddb mm0, mm1
	FAULTS EXC_UD, -1, emms
	and eax, ~0x0c
	mov cr0, eax
	; a pending x87 exception
	fninit
	mov word [cw], 0x37b
	fldcw [cw]
	fldz
	fld1
	fdiv st1
	FAULTS EXC_MF, -1, paddb mm0, mm1
	FAULTS EXC_MF, -1, movd mm0, eax
	FAULTS EXC_MF, -1, emms
	FAULTS EXC_MF, -1, movq [0xfffffff0], mm0
	fnclex
	WORKS paddb mm0, mm1
	fninit
	ret

; Registers do not move with TOP; a write makes the exponent all ones, and every instruction all registers valid
aliases:
	fninit
	fld1			; TOP 7
	movq mm0, [ints]	; TOP 0, all valid: and special, with such exponents
	movq mm1, mm0
	movq mm2, mm0
	movq mm3, mm0
	movq mm4, mm0
	movq mm5, mm0
	movq mm6, mm0
	movq mm7, mm0
	CHECK_ENV 0, 0xaaaa
	fninit
	fld1
	movq [BUF], mm7		; reading counts, too
	CHECK_EQ dword [BUF + 4], 0x80000000
	fnstsw ax
	CHECK_EQ16 ax, 0	; TOP 0
	; the exponent
	movq mm2, [ints]
	fnsave [BUF]
	CHECK_EQ dword [BUF + 28 + 20], 0x12345678
	CHECK_EQ dword [BUF + 28 + 24], 0x9abcdef0
	CHECK_EQ16 [BUF + 28 + 28], 0xffff
	; and back: what the x87 loads is there in its significand
	fninit
	fld qword [pi]
	movq mm0, mm7
	CHECK_MM mm0, 0xc90fdaa2, 0x2168c000
	; EMMS: empty again
	emms
	CHECK_ENV 0, 0xffff
	mov eax, 0x55aa55aa
	movd mm1, eax
	CHECK_MM mm1, 0, 0x55aa55aa
	movd ecx, mm1
	CHECK_EQ ecx, 0x55aa55aa
	emms
	ret

results:
	movq mm0, [bytes]
	movq mm1, mm0
	paddb mm1, [bytes_b]
	CHECK_MM mm1, 0x80807f00, 0x0302ff7e
	movq mm1, mm0
	paddsb mm1, [bytes_b]
	CHECK_MM mm1, 0x7f807f80, 0x0302ff7e
	movq mm1, mm0
	paddusb mm1, [bytes_b]
	CHECK_MM mm1, 0x80ff7fff, 0x0302ffff
	movq mm1, mm0
	psubusb mm1, [bytes_b]
	CHECK_MM mm1, 0x7e000000, 0x01000000
	movq mm1, [words]
	pmullw mm1, [words_b]
	CHECK_MM mm1, 0x80000001, 0xfffe0006
	movq mm1, [words]
	pmulhw mm1, [words_b]
	CHECK_MM mm1, 0xc0000000, 0xffff0000
	movq mm1, [words]
	pmaddwd mm1, [words_b]
	CHECK_MM mm1, 0xc0008001, 0x00000004
	pcmpeqw mm1, mm1
	CHECK_MM mm1, -1, -1
	movq mm1, [words]
	pcmpgtw mm1, [words_b]
	CHECK_MM mm1, 0, 0x0000ffff
	movq mm1, [ints]
	pandn mm1, [bytes]
	CHECK_MM mm1, 0x65010100, 0x00012907
	emms
	ret

shifts:
	movq mm0, [ints]
	psrlw mm0, 4
	CHECK_MM mm0, 0x09ab0def, 0x01230567
	movq mm0, [ints]
	psraw mm0, 15
	CHECK_MM mm0, 0xffffffff, 0
	movq mm0, [ints]
	psraw mm0, 200		; like 15
	CHECK_MM mm0, 0xffffffff, 0
	movq mm0, [ints]
	pslld mm0, 8
	CHECK_MM mm0, 0xbcdef000, 0x34567800
	movq mm0, [ints]
	psrlq mm0, 36
	CHECK_MM mm0, 0, 0x09abcdef
	movq mm0, [ints]
	psllq mm0, 64
	CHECK_MM mm0, 0, 0
	; by a register: all 64 bits of it count
	movq mm0, [ints]
	movq mm1, [big]
	psrad mm0, mm1
	CHECK_MM mm0, 0xffffffff, 0
	movq mm0, [ints]
	psrld mm0, [big]
	CHECK_MM mm0, 0, 0
	emms
	; memory is no operand of the immediate ones
	GUARD
	db 0x0f, 0x71, 0x16, 1
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	GUARD
	db 0x0f, 0x73, 0xdb, 1	; PSRLDQ has no MMX form
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	ret

packs:
	movq mm0, [words]
	packsswb mm0, [words_c]
	CHECK_MM mm0, 0x7f80fe01, 0x80fffe03
	movq mm0, [words_c]
	packuswb mm0, mm0
	CHECK_MM mm0, 0xff000001, 0xff000001
	movq mm0, [ints]
	punpcklbw mm0, [bytes]
	CHECK_MM mm0, 0x02120134, 0x7f567f78
	movq mm0, [ints]
	punpckhdq mm0, [bytes]
	CHECK_MM mm0, 0x7f810180, 0x9abcdef0
	emms
	ret

; PUNPCKL* take four bytes of memory, all others eight
operands:
	mov ax, FREE_SEL
	SET_DESC FREE_SEL, bytes, 6, D_P | D_DATA | D_BIG
	mov fs, ax
	FAULTS EXC_GP, 0, movq mm0, [fs:0]
	FAULTS EXC_GP, 0, paddb mm0, [fs:0]
	FAULTS EXC_GP, 0, punpckhbw mm0, [fs:0]
	WORKS punpcklbw mm0, [fs:3]
	FAULTS EXC_GP, 0, punpcklbw mm0, [fs:4]
	WORKS movd mm0, [fs:3]
	; a fault leaves the x87's state alone
	fninit
	fld1
	FAULTS EXC_GP, 0, paddb mm0, [fs:0]
	fnstsw ax
	CHECK_EQ16 ax, 7 << 11
	mov ax, DATA32
	mov fs, ax
	; any alignment
	movq mm0, [bytes + 1]
	movq [BUF + 3], mm0
	mov eax, [bytes + 1]
	CHECK_EQ dword [BUF + 3], eax
	emms
	ret

	section .data
	align 8
ints:	dd 0x12345678, 0x9abcdef0
bytes:	db 0x7f, 0x7f, 0x01, 0x02, 0x80, 0x01, 0x81, 0x7f
	times 8 db 0
bytes_b: db 0xff, 0x80, 0x01, 0x01, 0x80, 0x7e, 0xff, 0x01
words:	dw 3, -2, -1, 0x7fff ^ 0xffff
words_b: dw 2, 1, -1, 0x7fff
words_c: dw 1, -2, -300, 300
big:	dd 0, 1			; 2^32
pi:	dq 3.141592653589793
cw:	dw 0

; SPDX-License-Identifier: GPL-2.0-or-later
; Segmentation: limits, rights, loading of segment registers, and the instructions that inspect descriptors. SDM vol. 3, ch. 3, 5.
%define TEST_NAME "t_seg"
%include "lib.inc"

%define S(n) (FREE_SEL + (n) * 8)

test_main:
	SET_DESC S(0), 0x200000, 0xfff, D_P | D_DATA | D_BIG		; 4 KiB data
	SET_DESC S(1), 0x200000, 0xfff, D_P | 0x1000 | D_BIG		; read-only
	SET_DESC S(2), 0x200000, 0xfff, D_P | D_CODE | D_BIG		; readable code
	SET_DESC S(3), 0x200000, 0xfff, D_P | 0x1800 | D_BIG		; execute-only code
	SET_DESC S(4), 0x200000, 0xfff, D_P | 0x1600 | D_BIG		; expand-down: 1000h..ffffffffh
	SET_DESC S(5), 0x200000, 0xfff, D_P | 0x1600			; expand-down, 16 bits: 1000h..ffffh
	SET_DESC S(6), 0x200000, 0xfff, D_DATA | D_BIG			; not present
	SET_DESC S(7), 0x200000, 0x00001, D_P | D_DATA | D_BIG | D_PAGES ; 8 KiB, page granular
	SET_DESC S(8), 0x200000, 0xfff, D_P | D_DPL3 | D_DATA | D_BIG	; ring 3 data
	SET_DESC S(9), 0x200000, 0xfff, D_P | 0x1e00 | D_BIG		; conforming code, readable, DPL 0
	SET_DESC S(10), 0x200000, 0, D_P | D_DATA | D_BIG		; one byte
	mov edi, 0x200000
	mov ecx, 0x4000 / 4
	mov eax, 0x11223344
	rep stosd

	call limits
	call rights
	call loads
	call accessed
	call inspect
	call ring3
	call stack
	ret

limits:
	mov ax, S(0)
	mov fs, ax
	WORKS mov eax, [fs:0xffc]
	CHECK_EQ eax, 0x11223344
	FAULTS EXC_GP, 0, mov eax, [fs:0xffd]
	FAULTS EXC_GP, 0, mov ax, [fs:0xfff]
	WORKS mov al, [fs:0xfff]
	FAULTS EXC_GP, 0, mov al, [fs:0x1000]
	FAULTS EXC_GP, 0, mov [fs:0x1000], al
	FAULTS EXC_GP, 0, mov eax, [fs:0xffffffff]
	FAULTS EXC_GP, 0, mov eax, [fs:0xfffffffd]
	mov ax, S(7)
	mov fs, ax
	WORKS mov eax, [fs:0x1ffc]
	FAULTS EXC_GP, 0, mov eax, [fs:0x1ffd]
	mov ax, S(10)
	mov fs, ax
	WORKS mov al, [fs:0]
	FAULTS EXC_GP, 0, mov ax, [fs:0]
	FAULTS EXC_GP, 0, mov al, [fs:1]
	mov ax, S(4)
	mov fs, ax
	FAULTS EXC_GP, 0, mov al, [fs:0xfff]
	WORKS mov al, [fs:0x1000]
	FAULTS EXC_GP, 0, mov ax, [fs:0xfff]
	WORKS mov eax, [fs:0x10000]
	mov ax, S(5)
	mov fs, ax
	FAULTS EXC_GP, 0, mov al, [fs:0xfff]
	WORKS mov al, [fs:0x1000]
	WORKS mov al, [fs:0xffff]
	FAULTS EXC_GP, 0, mov ax, [fs:0xffff]
	FAULTS EXC_GP, 0, mov al, [fs:0x10000]
	ret

rights:
	mov ax, S(1)
	mov fs, ax
	WORKS mov eax, [fs:0]
	FAULTS EXC_GP, 0, mov [fs:0], eax
	FAULTS EXC_GP, 0, add dword [fs:0], 0
	FAULTS EXC_GP, 0, xchg eax, [fs:0]
	mov ax, S(2)
	mov fs, ax
	WORKS mov eax, [fs:0]
	FAULTS EXC_GP, 0, mov [fs:0], eax
	FAULTS EXC_GP, 0, mov [cs:exc_count], eax
	xor eax, eax
	mov fs, ax
	FAULTS EXC_GP, 0, mov eax, [fs:0]
	FAULTS EXC_GP, 0, mov [fs:0], eax
	mov ax, 3		; null with an RPL
	mov fs, ax
	mov ax, fs
	CHECK_EQ16 ax, 3
	FAULTS EXC_GP, 0, mov eax, [fs:0]
	ret

loads:
	mov ax, S(3)		; execute-only
	FAULTS EXC_GP, S(3), mov fs, ax
	mov ax, S(6)		; not present
	FAULTS EXC_NP, S(6), mov gs, ax
	FAULTS EXC_SS, S(6), mov ss, ax
	mov ax, TSS_SEL		; system
	FAULTS EXC_GP, TSS_SEL, mov fs, ax
	mov ax, GDT_LEN * 8
	FAULTS EXC_GP, GDT_LEN * 8, mov fs, ax
	mov ax, GDT_LEN * 8 | 3
	FAULTS EXC_GP, GDT_LEN * 8, mov fs, ax
	mov ax, 4		; LDT, none loaded
	FAULTS EXC_GP, 4, mov fs, ax
	mov ax, S(0) | 3	; RPL 3 on DPL 0
	FAULTS EXC_GP, S(0), mov fs, ax
	mov ax, S(9) | 3	; conforming: RPL does not matter
	WORKS mov fs, ax
	xor eax, eax
	FAULTS EXC_GP, 0, mov ss, ax
	mov ax, DATA32 | 1
	FAULTS EXC_GP, DATA32, mov ss, ax
	mov ax, DATA3
	FAULTS EXC_GP, DATA3 & ~3, mov ss, ax
	mov ax, S(1)
	FAULTS EXC_GP, S(1), mov ss, ax
	mov ax, CODE32
	FAULTS EXC_GP, CODE32, mov ss, ax
	; a failed load leaves the register alone
	mov ax, S(0)
	mov fs, ax
	mov ax, S(3)
	FAULTS EXC_GP, S(3), mov fs, ax
	WORKS mov eax, [fs:0]
	; far pointers: nothing is loaded if the selector is bad
	mov dword [0x300000], 0x12345678
	mov word [0x300004], S(3)
	mov ebx, 5
	FAULTS EXC_GP, S(3), lfs ebx, [0x300000]
	CHECK_EQ ebx, 5
	mov word [0x300004], S(0)
	WORKS lfs ebx, [0x300000]
	CHECK_EQ ebx, 0x12345678
	mov ax, fs
	CHECK_EQ16 ax, S(0)
	; PUSH and POP
	push dword S(1)
	pop gs
	mov ax, gs
	CHECK_EQ16 ax, S(1)
	push dword S(3)
	FAULTS EXC_GP, S(3), pop gs
	CHECK_EQ dword [esp], S(3)
	add esp, 4
	mov eax, esp
	push gs
	sub eax, esp
	CHECK_EQ eax, 4
	pop gs
	mov eax, esp
	o16 push gs
	sub eax, esp
	CHECK_EQ eax, 2
	o16 pop gs
	; MOV r32, Sreg zero-extends
	mov eax, -1
	mov eax, gs
	CHECK_EQ eax, S(1)
	GUARD
	db 0x8e, 0xc8		; mov cs, ax
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	GUARD
	db 0x8e, 0xf0		; mov segment register 6
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	ret

accessed:
	SET_DESC S(11), 0x200000, 0xfff, D_P | D_DATA | D_BIG
	CHECK_EQ dword [gdt + S(11) + 4], D_P | D_DATA | D_BIG | 0x20
	mov ax, S(11)
	lar ebx, ax		; does not set it
	CHECK_EQ dword [gdt + S(11) + 4], D_P | D_DATA | D_BIG | 0x20
	mov gs, ax
	CHECK_EQ dword [gdt + S(11) + 4], D_P | D_DATA | D_BIG | 0x20 | 0x100
	; the hidden part does not follow the table
	mov dword [gdt + S(11) + 4], 0
	WORKS mov eax, [gs:0]
	ret

%define ZF 0x40
inspect:
	mov ax, S(0)
	verr ax
	CHECK_FLAGS ZF, ZF
	verw ax
	CHECK_FLAGS ZF, ZF
	mov ax, S(1)
	verw ax
	CHECK_FLAGS ZF, 0
	mov ax, S(3)
	verr ax
	CHECK_FLAGS ZF, 0
	mov ax, S(2)
	verr ax
	CHECK_FLAGS ZF, ZF
	verw ax
	CHECK_FLAGS ZF, 0
	xor eax, eax
	verr ax
	CHECK_FLAGS ZF, 0
	mov ax, S(0) | 3
	verr ax
	CHECK_FLAGS ZF, 0
	mov ax, S(7)
	lsl ebx, ax
	CHECK_FLAGS ZF, ZF
	CHECK_EQ ebx, 0x1fff
	mov ebx, 0xaaaaaaaa
	lsl bx, ax
	CHECK_EQ ebx, 0xaaaa1fff
	mov ax, DATA32
	lsl ebx, ax
	CHECK_EQ ebx, 0xffffffff
	lar ebx, ax
	and ebx, 0x00f0ff00	; bits 19:16 are undefined
	CHECK_EQ ebx, 0x00c09300
	mov ax, TSS_SEL
	lar ebx, ax
	CHECK_EQ ebx, 0x00008b00
	lsl ebx, ax
	CHECK_EQ ebx, tss_end - tss - 1
	SET_GATE gdt, S(12) / 8, CODE32, 0, 0x8c, 0	; a call gate: LAR yes, LSL no
	mov ax, S(12)
	mov ebx, 7
	lsl ebx, ax
	CHECK_FLAGS ZF, 0
	CHECK_EQ ebx, 7
	lar ebx, ax
	CHECK_FLAGS ZF, ZF
	SET_GATE gdt, S(12) / 8, CODE32, 0, 0x8e, 0	; an interrupt gate: neither
	lar ebx, ax
	CHECK_FLAGS ZF, 0
	mov ax, GDT_LEN * 8
	lar ebx, ax
	CHECK_FLAGS ZF, 0
	; ARPL
	mov ax, 0x50
	mov bx, 3
	arpl ax, bx
	CHECK_FLAGS ZF, ZF
	CHECK_EQ16 ax, 0x53
	mov bx, 1
	arpl ax, bx
	CHECK_FLAGS ZF, 0
	CHECK_EQ16 ax, 0x53
	; tables
	sgdt [0x300000]
	CHECK_EQ16 [0x300000], GDT_LEN * 8 - 1
	CHECK_EQ dword [0x300002], gdt
	sidt [0x300000]
	CHECK_EQ16 [0x300000], 0x7ff
	CHECK_EQ dword [0x300002], idt
	str ax
	CHECK_EQ16 ax, TSS_SEL
	mov eax, -1
	sldt eax
	CHECK_EQ eax, 0
	; LLDT
	SET_DESC S(13), ldt, ldt_end - ldt - 1, 0x8200
	mov ax, S(13)
	lldt ax
	mov ax, 4 | 8
	WORKS mov fs, ax
	mov ax, 4
	WORKS mov fs, ax	; the first entry of an LDT is usable
	mov ax, 4 | 16
	FAULTS EXC_GP, 4 | 16, mov fs, ax
	mov ax, S(0)
	FAULTS EXC_GP, S(0), lldt ax
	xor eax, eax
	lldt ax
	mov ax, TSS_SEL		; busy already
	FAULTS EXC_GP, TSS_SEL, ltr ax
	xor eax, eax
	FAULTS EXC_GP, 0, ltr ax
	ret

ring3:
	RUN3 .user1		; DPL 0 data is closed to it
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], S(0)
	CHECK_EQ dword [exc_cs], CODE3
	CHECK_EQ dword [exc_ss], DATA3
	RUN3 .user2		; ring 3 data and conforming code are not
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, 0x11223344
	RUN3 .user3
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, 1		; VERR of DPL 0 data fails, of conforming code works
	; back to ring 3 with DPL 0 data in FS and GS: they become null; conforming code stays
	GUARD
	mov ax, S(0)
	mov fs, ax
	mov ax, S(9)
	mov gs, ax
	push dword DATA3
	push dword ring3_stack_top
	push dword CODE3
	push dword .user4
	retf
	GUARDED
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ ebx, 0
	CHECK_EQ ecx, S(9)
	RUN3 .user5
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	ret
.user1:	mov ax, S(0) | 3
	mov fs, ax
	int INT_RETURN
.user2:	mov ax, S(9)
	mov fs, ax
	mov ax, S(8)
	mov gs, ax
	mov eax, [gs:0]
	int INT_RETURN
.user3:	xor eax, eax
	mov bx, S(0)
	verr bx
	jz .bad
	mov bx, S(9)
	verr bx
	jnz .bad
	inc eax
.bad:	int INT_RETURN
.user4:	mov ebx, fs
	mov ecx, gs
	int INT_RETURN
.user5:	lgdt [gdt_ptr]
	int INT_RETURN

stack:
	SET_DESC S(14), 0x200000, 0xfff, D_P | D_DATA		; 16-bit stack of 4 KiB
	mov edx, esp
	mov ax, S(14)
	mov ss, ax
	mov esp, 0x55550010
	push dword 1
	mov ebx, esp
	mov ax, DATA32
	mov ss, ax
	mov esp, edx
	CHECK_EQ ebx, 0x5555000c	; only SP moves
	CHECK_EQ dword [0x20000c], 1
	ret

	section .data
	align 8
ldt:	dq 0x00cf92000000ffff
	dq 0x00cf92000000ffff
ldt_end:

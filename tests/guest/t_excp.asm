; SPDX-License-Identifier: GPL-2.0-or-later
; Exceptions and their error codes in rings 0 and 3, interrupt and trap gates of both sizes, faults during delivery. SDM vol. 3, ch. 6.
%define TEST_NAME "t_excp"
%include "lib.inc"

%define S(n) (FREE_SEL + (n) * 8)

test_main:
	call plain
	call software
	call gates
	call frames
	call ring3
	call ring3_gates
	call conforming
	call during
	call alignment
	ret

plain:
	xor edx, edx
	xor ecx, ecx
	FAULTS EXC_DE, -1, div ecx
	mov eax, 0x80000000
	mov edx, -1
	mov ecx, -1
	FAULTS EXC_DE, -1, idiv ecx
	mov ax, 0x100
	mov cl, 1
	FAULTS EXC_DE, -1, div cl
	FAULTS EXC_DE, -1, aam 0
	FAULTS EXC_UD, -1, ud2
	GUARD
	db 0xf0, 0x90		; LOCK NOP
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	GUARD
	db 0x0f, 0xff		; UD0
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	GUARD
	db 0xc5, 0xc0, 0, 0	; LDS with a register
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	mov eax, 11
	mov dword [0x300000], 0
	mov dword [0x300004], 10
	FAULTS EXC_BR, -1, bound eax, [0x300000]
	mov eax, -1
	FAULTS EXC_BR, -1, bound eax, [0x300000]
	mov eax, 10
	WORKS bound eax, [0x300000]
	; 15 bytes are the limit
	GUARD
	times 14 db 0x2e
	db 0x90
	GUARDED
	CHECK_EQ dword [exc_vec], -1
	GUARD
	times 15 db 0x2e
	db 0x90
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	; faults set RF in the image, and leave the flags alone
	push dword 0x8d7
	popfd
	FAULTS EXC_UD, -1, ud2
	mov eax, [exc_flags]
	and eax, 0x10fff
	CHECK_EQ eax, 0x108d7
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	FAULTS EXC_NM, -1, fnop
	clts
	mov eax, cr0
	or eax, 4
	mov cr0, eax
	FAULTS EXC_NM, -1, fnop
	and eax, ~4
	mov cr0, eax
	ret

software:
	push dword 2
	popfd
	GUARD
	int3
.after_int3:
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_BP
	CHECK_EQ dword [exc_eip], .after_int3
	CHECK_EQ dword [exc_flags], 0x2
	GUARD
	int 0x21
.after_int:
	GUARDED
	CHECK_EQ dword [exc_vec], 0x21
	CHECK_EQ dword [exc_eip], .after_int
	GUARD
	db 0xf1			; INT1
.after_int1:
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_DB
	CHECK_EQ dword [exc_eip], .after_int1
	mov al, 0x7f
	GUARD
	add al, 1
	into
.after_into:
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_OF
	CHECK_EQ dword [exc_eip], .after_into
	GUARD
	sub al, al
	into
	GUARDED
	CHECK_EQ dword [exc_vec], -1
	ret

; What a bad gate or table gives, by INT 22h
%macro TRY_INT 2		; error, vector
	GUARD
%%insn:	int 0x22
	GUARDED
	CHECK_EQ dword [exc_vec], %1
	CHECK_EQ dword [exc_err], %2
	CHECK_EQ dword [exc_eip], %%insn
%endmacro

gates:
	SET_GATE idt, 0x22, CODE32, int22, 0x0e, 0
	TRY_INT EXC_NP, 0x22 * 8 + 2
	SET_GATE idt, 0x22, CODE32, int22, 0x8c, 0		; a call gate
	TRY_INT EXC_GP, 0x22 * 8 + 2
	SET_GATE idt, 0x22, 0, int22, 0x8e, 0
	TRY_INT EXC_GP, 0
	SET_GATE idt, 0x22, DATA32, int22, 0x8e, 0
	TRY_INT EXC_GP, DATA32
	SET_GATE idt, 0x22, GDT_LEN * 8, int22, 0x8e, 0
	TRY_INT EXC_GP, GDT_LEN * 8
	SET_DESC S(0), 0, 0xfffff, 0x1a00 | D_BIG | D_PAGES	; code, not present
	SET_GATE idt, 0x22, S(0), int22, 0x8e, 0
	TRY_INT EXC_NP, S(0)
	SET_GATE idt, 0x22, CODE3, int22, 0x8e, 0		; outer level
	TRY_INT EXC_GP, CODE3 & ~3
	SET_DESC S(0), 0, 0xffff, D_P | 0x1a00 | D_BIG		; eip outside
	SET_GATE idt, 0x22, S(0), int22, 0x8e, 0
	TRY_INT EXC_GP, 0
	; outside the table
	lidt [short_idt]
	TRY_INT EXC_GP, 0x22 * 8 + 2
	lidt [idt_ptr]
	ret

; Frames of the four kinds of gates
frames:
	push dword 0x246
	popfd
	mov dword [saved_esp], esp
	SET_GATE idt, 0x22, CODE32, .int32, 0x8e, 0
	int 0x22
.after32:
	mov eax, [frame_esp]
	add eax, 12
	CHECK_EQ eax, [saved_esp]
	CHECK_EQ dword [frame], .after32
	CHECK_EQ dword [frame + 4], CODE32
	CHECK_EQ dword [frame + 8], 0x246
	CHECK_EQ dword [frame_flags], 0x046
	SET_GATE idt, 0x22, CODE32, .int32, 0x8f, 0		; trap gate: IF stays
	sti
	int 0x22
	cli
	and dword [frame_flags], 0x200
	CHECK_EQ dword [frame_flags], 0x200
	; 16-bit gate: needs a handler in the first 64 KiB
	SET_GATE idt, 0x22, CODE16, LOW(.int16), 0x86, 0
	SET_DESC S(0), after16, 0xffff, D_P | D_CODE		; 16-bit code whose base is what comes next
	mov dword [saved_esp], esp
	jmp dword S(0):0
	bits 16
after16:
	int 0x22
.back:	jmp dword CODE32:frames16
	bits 32
frames16:
	mov eax, [frame_esp]
	and eax, 0xffff
	add eax, 6
	mov ebx, [saved_esp]
	and ebx, 0xffff
	CHECK_EQ eax, ebx
	CHECK_EQ16 [frame], after16.back - after16
	CHECK_EQ16 [frame + 2], S(0)
	and word [frame + 4], 0xf202
	CHECK_EQ16 [frame + 4], 0x002
	push dword 2
	popfd
	ret
frames.int32:
	mov [frame_esp], esp
	pop dword [frame]
	pop dword [frame + 4]
	pop dword [frame + 8]
	pushfd
	pop dword [frame_flags]
	sub esp, 12
	iretd
	section .low
	bits 16
frames.int16:
	a32 mov [frame_esp], esp
	pop word [dword frame]
	pop word [dword frame + 2]
	pop word [dword frame + 4]
	sub esp, 6
	iretw
	bits 32
	section .text

ring3:
	RUN3 .int		; DPL 0 gate
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0x22 * 8 + 2
	CHECK_EQ dword [exc_eip], .int
	CHECK_EQ dword [exc_cs], CODE3
	CHECK_EQ dword [exc_ss], DATA3
	CHECK_EQ dword [exc_esp], ring3_stack_top
	mov eax, [exc_frame]
	add eax, 20
	CHECK_EQ eax, stack0_tss_top
	RUN3 .int3
	CHECK_EQ dword [exc_vec], EXC_BP
	RUN3 .hlt
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	RUN3 .cli
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .cli, 0x3002	; IOPL 3
	CHECK_EQ dword [exc_vec], INT_RETURN
	RUN3 .in
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .in, 0x3002
	CHECK_EQ dword [exc_vec], INT_RETURN
	and byte [tss + 104 + 32 + 0x61 / 8], ~(1 << (0x61 & 7))
	RUN3 .in		; now by the I/O map
	CHECK_EQ dword [exc_vec], INT_RETURN
	RUN3 .in16		; two ports: one is closed
	CHECK_EQ dword [exc_vec], EXC_GP
	or byte [tss + 104 + 32 + 0x61 / 8], 1 << (0x61 & 7)
	RUN3 .in_last
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .mov_cr
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .clts
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .rdmsr
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .popf, 0x202	; IF and IOPL do not change, silently
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [exc_flags], 0x202
	RUN3 .smsw
	CHECK_EQ dword [exc_vec], INT_RETURN
	mov ecx, cr0
	and ecx, 0xffff
	CHECK_EQ16 ax, ecx
	ret
.int:	int 0x22
.int3:	int3
.hlt:	hlt
	int INT_RETURN
.cli:	cli
	int INT_RETURN
.in:	in al, 0x61
	int INT_RETURN
.in16:	in ax, 0x61
	int INT_RETURN
.in_last:
	mov dx, 0xffff
	in ax, dx
	int INT_RETURN
.mov_cr:
	mov eax, cr0
	int INT_RETURN
.clts:	clts
	int INT_RETURN
.rdmsr:	mov ecx, 0x10
	rdmsr
	int INT_RETURN
.popf:	push dword 0x3002
	popfd
	int INT_RETURN
.smsw:	smsw ax
	int INT_RETURN

; Inner stacks that are not what they should be
ring3_gates:
	SET_GATE idt, 0x23, CODE32, int22, 0xee, 0
	mov dword [tss + 8], 0			; null SS
	call .try
	CHECK_EQ dword [exc_vec], EXC_TS
	CHECK_EQ dword [exc_err], 0
	mov dword [tss + 8], DATA3		; wrong RPL
	call .try
	CHECK_EQ dword [exc_vec], EXC_TS
	CHECK_EQ dword [exc_err], DATA3 & ~3
	mov dword [tss + 8], CODE32
	call .try
	CHECK_EQ dword [exc_vec], EXC_TS
	CHECK_EQ dword [exc_err], CODE32
	SET_DESC S(1), 0, 0xfffff, D_DATA | D_BIG | D_PAGES	; not present
	mov dword [tss + 8], S(1)
	call .try
	CHECK_EQ dword [exc_vec], EXC_SS
	CHECK_EQ dword [exc_err], S(1)
	SET_DESC S(1), 0, 0xfff, D_P | D_DATA | D_BIG		; too small
	mov dword [tss + 8], S(1)
	call .try
	CHECK_EQ dword [exc_vec], EXC_SS
	CHECK_EQ dword [exc_err], S(1)
	mov dword [tss + 8], DATA32
	ret
; INT 23h from ring 3; the fault of its delivery must find a good stack, so it goes through a task gate.
.try:	SET_GATE idt, EXC_TS, DF_TSS, 0, 0x85, 0
	SET_GATE idt, EXC_SS, DF_TSS, 0, 0x85, 0
	mov dword [task_vector], EXC_TS
	mov dword [df_tss + 32], .task
	RUN3 .user
	SET_GATE idt, EXC_TS, CODE32, vec_stubs + EXC_TS * 8, 0x8e, 0
	SET_GATE idt, EXC_SS, CODE32, vec_stubs + EXC_SS * 8, 0x8e, 0
	mov dword [df_tss + 32], df_entry
	ret
.user:	int 0x23
; Which vector it was the task cannot tell: by the SS.P case only.
.task:	pop eax
	mov [exc_err], eax
	mov dword [exc_vec], EXC_TS
	cmp eax, S(1)
	jne .known
	mov dword [exc_vec], EXC_SS
.known:	and byte [gdt + DF_TSS + 5], 0xfd
	and byte [gdt + TSS_SEL + 5], 0xfd
	push dword 2
	popfd
	clts
	mov ax, TSS_SEL
	ltr ax
	mov dword [df_tss + 32], .task
	mov dword [df_tss + 36], 2
	mov dword [df_tss + 56], df_stack_top
	mov esp, [exc_resume_esp]
	jmp [exc_resume]

; A gate to conforming code keeps the level
conforming:
	SET_DESC S(2), 0, 0xfffff, D_P | 0x1e00 | D_BIG | D_PAGES
	SET_GATE idt, 0x24, S(2), .handler, 0xee, 0
	RUN3 .user
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, S(2) | 3
	ret
.user:	int 0x24
	int INT_RETURN
.handler:
	mov eax, cs
	iretd

; Faults while an exception is delivered
during:
	; #UD whose gate is bad: #GP with EXT
	SET_GATE idt, EXC_UD, DATA32, int22, 0x8e, 0
	GUARD
.ud:	ud2
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], DATA32 | 1
	CHECK_EQ dword [exc_eip], .ud
	and byte [idt + EXC_UD * 8 + 5], 0x7f
	FAULTS EXC_NP, EXC_UD * 8 + 3, ud2
	SET_GATE idt, EXC_UD, CODE32, vec_stubs + EXC_UD * 8, 0x8e, 0
	; contributory twice: a double fault
	and byte [idt + EXC_GP * 8 + 5], 0x7f
	GUARD
.gp:	mov ax, CODE32
	mov ss, ax
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_DF
	CHECK_EQ dword [exc_err], 0
	or byte [idt + EXC_GP * 8 + 5], 0x80
	; #DE, then #NP: double fault
	and byte [idt + EXC_DE * 8 + 5], 0x7f
	xor ecx, ecx
	GUARD
	div ecx
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_DF
	or byte [idt + EXC_DE * 8 + 5], 0x80
	; a stack that cannot take the frame
	SET_DESC S(3), 0x200000, 0xfff, D_P | D_DATA | D_BIG
	mov ax, S(3)
	GUARD
	mov ss, ax
	mov esp, 0x2000
	ud2
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_DF
	ret

alignment:
	mov eax, cr0
	or eax, 1 << 18
	mov cr0, eax
	RUN3 .user, 0x40002
	CHECK_EQ dword [exc_vec], EXC_AC
	CHECK_EQ dword [exc_err], 0
	CHECK_EQ dword [exc_eip], .bad
	RUN3 .user
	CHECK_EQ dword [exc_vec], INT_RETURN
	push dword 0x40002	; not in ring 0
	popfd
	WORKS mov eax, [0x300001]
	mov eax, cr0
	and eax, ~(1 << 18)
	mov cr0, eax
	RUN3 .user, 0x40002
	CHECK_EQ dword [exc_vec], INT_RETURN
	ret
.user:	mov eax, [0x300004]
	mov ax, [0x300002]
	mov al, [0x300003]
.bad:	mov eax, [0x300002]
	int INT_RETURN

int22:	iretd

	section .data
	align 4
short_idt:
	dw 0x22 * 8 + 6
	dd idt
saved_esp:   dd 0
frame_esp:   dd 0
frame:	     dd 0, 0, 0
frame_flags: dd 0
task_vector: dd 0

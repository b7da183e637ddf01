; SPDX-License-Identifier: GPL-2.0-or-later
; Virtual-8086 mode: entry, frames, IOPL-sensitive instructions, and the virtual mode extensions. SDM vol. 3, ch. 20.
%define TEST_NAME "t_v86"
%include "lib.inc"

%define LEAVE EXC_UD		; v86 code ends by UD0, which needs no IOPL
%define VM   0x20000
%define IOPL3 0x3000
%define IF   0x200
%define TF   0x100
%define RF   0x10000
%define VIF  0x80000
%define VIP  0x100000
%define REDIRECT (tss + 104)	; 32 bytes of interrupt redirection bit map below the I/O map

test_main:
	call entry
	call sensitive
	call iopl3
	call limits
	mov eax, 1
	cpuid
	test dl, 2
	jz .end
	mov eax, cr4
	or eax, 1
	mov cr4, eax
	call vme_iopl3
	call vme
	call vip
	mov eax, cr4
	and eax, ~3
	or eax, 2
	mov cr4, eax
	call pvi
	mov eax, cr4
	and eax, ~3
	mov cr4, eax
.end:	ret

entry:
	GUARD
	push dword 0x6666	; gs
	push dword 0x5555
	push dword 0x4444
	push dword 0x3333	; es
	push dword 0x0100	; ss
	push dword 0x12347000
	push dword VM | IOPL3 | 0x8d7
	push dword 0x0200	; cs
	push dword LOW(v86_state) - 0x2000
	iretd
	GUARDED
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [exc_cs], 0x200
	CHECK_EQ dword [exc_ss], 0x100
	CHECK_EQ dword [exc_esp], 0x12347000
	CHECK_EQ dword [exc_eip], LOW(v86_state.end) - 0x2000
	CHECK_EQ dword [exc_v86_segs], 0x3333
	CHECK_EQ dword [exc_v86_segs + 4], 0x4444
	CHECK_EQ dword [exc_v86_segs + 8], 0x5555
	CHECK_EQ dword [exc_v86_segs + 12], 0x6666
	CHECK_EQ dword [exc_flags], VM | IOPL3 | 0x8d7
	CHECK_EQ ebx, 0x6666
	CHECK_EQ ecx, 0xaa55		; DS base is 44440h
	mov eax, [exc_frame]
	add eax, 36
	CHECK_EQ eax, stack0_tss_top
	xor ebx, ebx			; the handler found null data segments
	mov bx, fs
	CHECK_EQ ebx, 0
	mov bx, gs
	CHECK_EQ ebx, 0
	; an exception through a 16-bit gate: words
	SET_GATE idt, EXC_UD, CODE16, LOW(gate16), 0x86, 0
	mov dword [exc_hook], 0
	RUN_V86 LOW(v86_ud), VM | 0x12
	CHECK_EQ dword [exc_vec], 0x30
	SET_GATE idt, EXC_UD, CODE32, vec_stubs + EXC_UD * 8, 0x8e, 0
	CHECK_EQ16 [frame16], LOW(v86_ud)
	CHECK_EQ16 [frame16 + 2], 0
	CHECK_EQ16 [frame16 + 6], 0x7800
	CHECK_EQ16 [frame16 + 8], 0
	; a handler that is not in ring 0
	SET_GATE idt, 0x22, CODE3, 0, 0xee, 0
	RUN_V86 LOW(v86_int22), VM | IOPL3 | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], CODE3 & ~3
	SET_GATE idt, 0x22, CODE32, vec_stubs + 0x22 * 8, 0x8e, 0
	RUN_V86 LOW(v86_int22), VM | IOPL3 | 2		; DPL 0 gate
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0x22 * 8 + 2
	ret

; With IOPL 0 all of these fault, without VME
%macro V86_GP 1-2.nolist 2	; label of one instruction, flags
	RUN_V86 LOW(%1), VM | (%2)
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	CHECK_EQ dword [exc_eip], LOW(%1)
%endmacro
%macro V86_OK 2.nolist		; label, flags
	RUN_V86 LOW(%1), VM | (%2)
	CHECK_EQ dword [exc_vec], LEAVE
%endmacro

sensitive:
	V86_GP v86_cli
	V86_GP v86_sti
	V86_GP v86_pushf
	V86_GP v86_popf
	V86_GP v86_int22
	V86_GP v86_iret
	V86_GP v86_hlt
	V86_GP v86_in		; by the I/O map, all ones
	V86_GP v86_mov_cr
	V86_GP v86_lgdt
	V86_GP v86_mov_dr
	RUN_V86 LOW(v86_int3), VM | 2	; not IOPL-sensitive
	CHECK_EQ dword [exc_vec], EXC_BP
	and byte [tss + 104 + 32 + 0x61 / 8], ~(1 << (0x61 & 7))
	V86_OK v86_in, 2
	or byte [tss + 104 + 32 + 0x61 / 8], 1 << (0x61 & 7)
	RUN_V86 LOW(v86_lar), VM | 2
	CHECK_EQ dword [exc_vec], EXC_UD
	RUN_V86 LOW(v86_str), VM | 2
	CHECK_EQ dword [exc_vec], EXC_UD
	RUN_V86 LOW(v86_arpl), VM | 2
	CHECK_EQ dword [exc_vec], EXC_UD
	V86_OK v86_smsw, 2
	ret

iopl3:
	RUN_V86 LOW(v86_flags), VM | IOPL3 | 2
	CHECK_EQ dword [exc_vec], LEAVE
	CHECK_EQ ecx, 0x3202		; STI; PUSHF
	CHECK_EQ edx, 0x3002		; CLI; PUSHF
	CHECK_EQ ebx, 0x7ed7		; POPF 4ed7h: IOPL stays
	RUN_V86 LOW(v86_pushfd), VM | IOPL3 | 2
	CHECK_EQ eax, 0x3002		; VM and RF are not shown
	RUN_V86 LOW(v86_do_iret), VM | IOPL3 | 2
	CHECK_EQ dword [exc_vec], LEAVE
	CHECK_EQ16 [exc_flags], 0x3203
	RUN_V86 LOW(v86_in), VM | IOPL3 | 2	; IOPL does not open ports
	CHECK_EQ dword [exc_vec], EXC_GP
	ret

limits:
	RUN_V86 LOW(v86_limit), VM | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	CHECK_EQ dword [exc_eip], LOW(v86_limit.bad)
	RUN_V86 LOW(v86_stack), VM | 2
	CHECK_EQ dword [exc_vec], EXC_SS
	CHECK_EQ dword [exc_err], 0
	ret

; The 8086 program's own handler for INT 21h, at 0:LOW(v86_handler)
set_ivt:
	mov dword [0x21 * 4], LOW(v86_handler)
	mov dword [0x30 * 4], LOW(v86_handler)
	ret

vme_iopl3:
	call set_ivt
	or byte [idt + 0x21 * 8 + 5], 0x60
	RUN_V86 LOW(v86_int21), VM | IOPL3 | IF | 2	; bit set: through the IDT
	CHECK_EQ dword [exc_vec], 0x21
	and byte [REDIRECT + 0x21 / 8], ~(1 << (0x21 & 7))
	RUN_V86 LOW(v86_int21), VM | IOPL3 | IF | 2	; bit clear: to the IVT
	CHECK_EQ dword [exc_vec], LEAVE
	CHECK_EQ ecx, 0x3202		; pushed image
	CHECK_EQ ebx, 0x3002		; flags in the handler
	CHECK_EQ edx, LOW(v86_int21) + 2
	CHECK_EQ dword [exc_flags], VM | RF | IOPL3 | IF | 2
	ret

vme:	; IOPL 0: VIF takes the place of IF
	RUN_V86 LOW(v86_int21), VM | VIF | IF | 2
	CHECK_EQ dword [exc_vec], LEAVE
	CHECK_EQ ecx, 0x3202		; image: IOPL 3, IF = VIF
	CHECK_EQ ebx, 0x3002		; in the handler VIF is clear
	CHECK_EQ dword [exc_flags], VM | RF | VIF | IF | 2	; IRET sets it again
	RUN_V86 LOW(v86_int22), VM | 2	; bit set
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	RUN_V86 LOW(v86_flags), VM | 2
	CHECK_EQ dword [exc_vec], LEAVE
	CHECK_EQ ecx, 0x3202
	CHECK_EQ edx, 0x3002
	CHECK_EQ ebx, 0x7ed7
	mov eax, [exc_flags]
	and eax, VIF | VIP | IF | IOPL3
	CHECK_EQ eax, VIF
	RUN_V86 LOW(v86_pushfd), VM | 2	; 32-bit forms still fault
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN_V86 LOW(v86_popf_tf), VM | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN_V86 LOW(v86_int3), VM | 2
	CHECK_EQ dword [exc_vec], EXC_BP
	V86_GP v86_hlt
	ret

vip:
	RUN_V86 LOW(v86_sti), VM | VIP | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_eip], LOW(v86_sti)
	RUN_V86 LOW(v86_popf_if), VM | VIP | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN_V86 LOW(v86_do_iret), VM | VIP | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	V86_OK v86_cli, VIP | 2
	mov eax, [exc_flags]
	and eax, VIP | VIF
	CHECK_EQ eax, VIP
	V86_GP v86_nop, VIP | VIF | 2		; both: the monitor is called before the first instruction
	V86_GP v86_nop, VIP | VIF | IOPL3 | 2
	ret

pvi:	; ring 3, IOPL 0
	RUN3 .cli, VIF | 2
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [exc_flags], 2
	RUN3 .cli, VIF | VIP | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_eip], .cli
	RUN3 .sti
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [exc_flags], VIF | 2
	RUN3 .sti, VIP | 2
	CHECK_EQ dword [exc_vec], EXC_GP
	RUN3 .pushf, VIF | 2	; PUSHF and POPF do not take part
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, VIF | 2
	CHECK_EQ dword [exc_flags], VIF | 2
	RUN3 .hlt
	CHECK_EQ dword [exc_vec], EXC_GP
	ret
.cli:	cli
	int INT_RETURN
.sti:	sti
	int INT_RETURN
.pushf:	pushfd
	pop eax
	push dword IF | 2
	popfd
	int INT_RETURN
.hlt:	hlt
	int INT_RETURN

	section .data
frame16: dw 0, 0, 0, 0, 0, 0
	section .low
	bits 16

; ring 0, 16 bits, through a 16-bit gate: keeps the frame, ends by INT 30h
gate16:
	mov bp, DATA32
	mov ds, bp
	pop word [dword frame16]
	pop word [dword frame16 + 2]
	pop word [dword frame16 + 4]
	pop word [dword frame16 + 6]
	pop word [dword frame16 + 8]
	int 0x30

v86_state:
	mov bx, gs
	movzx ebx, bx
	mov ax, 0x9000
	mov word [0x10], 0xaa55
	mov ax, 0x4444
	mov es, ax
	mov cx, [es:0x10]
	movzx ecx, cx
	mov ax, 0x3333
	mov es, ax
	push dword 0x8d7 | IOPL3
	popfd
	int INT_RETURN
.end:
v86_end:			; leaves v86 mode without an IOPL-sensitive instruction: INT3 would be EXC_BP
	jmp v86_leave
v86_leave:
	db 0x0f, 0xff		; UD0
v86_ud:	ud2
v86_nop:
	nop
	jmp v86_leave
v86_cli:
	cli
	jmp v86_leave
v86_sti:
	sti
	jmp v86_leave
v86_pushf:
	pushf
	jmp v86_leave
v86_popf:
	popf
	jmp v86_leave
v86_int21:
	int 0x21
	jmp v86_leave
v86_int22:
	int 0x22
	jmp v86_leave
v86_int3:
	int3
	jmp v86_leave
v86_iret:
	iret
v86_hlt:
	hlt
	jmp v86_leave
v86_in:	in al, 0x61
	jmp v86_leave
v86_mov_cr:
	mov eax, cr0
	jmp v86_leave
v86_mov_dr:
	mov eax, dr0
	jmp v86_leave
v86_lgdt:
	lgdt [0]
	jmp v86_leave
v86_lar:
	lar ax, ax
	jmp v86_leave
v86_str:
	str ax
	jmp v86_leave
v86_arpl:
	db 0x63, 0xc0
	jmp v86_leave
v86_smsw:
	smsw ax
	jmp v86_leave
v86_pushfd:
	pushfd
	pop eax
	jmp v86_leave
v86_flags:
	xor ecx, ecx
	xor edx, edx
	xor ebx, ebx
	push word 2
	popf
	sti
	pushf
	pop cx
	cli
	pushf
	pop dx
	push word 0x4ed7
	popf
	pushf
	pop bx
	push word 2 | 0x200
	popf
	jmp v86_leave
v86_popf_tf:
	push word 0x102
	popf
	jmp v86_leave
v86_popf_if:
	push word 0x202
	popf
	jmp v86_leave
v86_do_iret:
	push word 0x203
	push word 0
	push word LOW(v86_leave)
	iret
v86_limit:
	mov ebx, 0xffff
	mov al, [bx]
.bad:	mov ax, [bx]
	jmp v86_leave
v86_stack:
	mov sp, 1
	push ax
	jmp v86_leave
v86_handler:			; edx ip, ecx pushed flags, ebx flags now
	push bp
	mov bp, sp
	movzx edx, word [bp + 2]
	movzx ecx, word [bp + 6]
	pushf
	xor ebx, ebx
	pop bx
	pop bp
	iret
	bits 32

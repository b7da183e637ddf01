; SPDX-License-Identifier: GPL-2.0-or-later
; Far JMP, CALL and RET, call gates of both sizes with parameters, SYSENTER and SYSEXIT. SDM vol. 3, 5.8.
%define TEST_NAME "t_gate"
%include "lib.inc"

%define S(n) (FREE_SEL + (n) * 8)
%define GATE S(0)
%define CONF S(1)		; conforming, DPL 0
%define NOTP S(2)
%define SMALL S(3)		; code of 64 KiB
%define CONF3 S(4)
%define IP_SEL S(5)

%macro CHECK_ESP 1.nolist
	push eax
	lea eax, [esp + 4]
	CHECK_EQ eax, %1
	pop eax
%endmacro

test_main:
	SET_DESC CONF, 0, 0xfffff, D_P | 0x1e00 | D_BIG | D_PAGES
	SET_DESC NOTP, 0, 0xfffff, 0x1a00 | D_BIG | D_PAGES
	SET_DESC SMALL, 0, 0xffff, D_P | 0x1a00 | D_BIG
	SET_DESC CONF3, 0, 0xfffff, D_P | D_DPL3 | 0x1e00 | D_BIG | D_PAGES
	call direct
	call returns
	call gates
	call inner
	call inner16
	call inner_faults
	call fast
	ret

direct:
	FAULTS EXC_GP, 0, jmp 0:0
	FAULTS EXC_GP, 0, call 3:0
	FAULTS EXC_GP, DATA32, jmp DATA32:0
	FAULTS EXC_GP, CODE3 & ~3, jmp CODE3:0
	FAULTS EXC_GP, CODE32, jmp CODE32 | 3:0
	FAULTS EXC_NP, NOTP, call NOTP:0
	FAULTS EXC_GP, GDT_LEN * 8, jmp GDT_LEN * 8:0
	FAULTS EXC_GP, 0, jmp SMALL:0x10000
	FAULTS EXC_GP, CONF3, jmp CONF3:0		; conforming, but less privileged
	jmp CONF:.conforming
.conforming:
	mov ax, cs
	CHECK_EQ16 ax, CONF
	jmp CODE32:.back
.back:
	RUN3 .user
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, CONF | 3			; RPL is the CPL
	mov edx, esp
	call CODE32:.callee
.ret:	CHECK_ESP edx
	CHECK_EQ ebx, .ret
	CHECK_EQ ecx, CODE32
	; 16-bit operand size
	mov dword [0x300000], LOW(.low) | CODE16 << 16
	o16 call far [0x300000]
.ret16:	CHECK_ESP edx
	CHECK_EQ eax, 0x1234
	; through memory, m16:32
	mov dword [0x300000], .callee
	mov word [0x300004], CODE32
	call far [0x300000]
	CHECK_ESP edx
	GUARD
	db 0xff, 0xd8		; CALL far with a register
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_UD
	ret
.callee:
	mov ebx, [esp]
	mov ecx, [esp + 4]
	retf
.user:	jmp CONF:.user2
.user2:	mov eax, cs
	int INT_RETURN
	section .low
	bits 16
direct.low:
	mov eax, 0x1234
	add esp, 4		; two words; IP is half of the address: go back otherwise
	jmp dword CODE32:direct.ret16
	bits 32
	section .text

returns:
	mov edx, esp
	push dword 0x11
	push dword 0x22
	push dword CODE32
	push dword .here
	retf 8
.here:	CHECK_ESP edx
	push dword 0
	push dword .here
	FAULTS EXC_GP, 0, retf
	add esp, 8
	push dword DATA32
	push dword .here
	FAULTS EXC_GP, DATA32, retf
	add esp, 8
	push dword NOTP
	push dword .here
	FAULTS EXC_NP, NOTP, retf
	add esp, 8
	; to ring 3, with a bad stack
	push dword DATA32
	push dword 0x1000
	push dword CODE3
	push dword .user
	FAULTS EXC_GP, DATA32, retf
	FAULTS EXC_GP, DATA32, retf 0
	mov dword [esp + 12], 0
	FAULTS EXC_GP, 0, retf
	mov dword [esp + 12], DATA3
	mov dword [esp + 4], CODE32 | 3		; RPL 3, DPL 0
	FAULTS EXC_GP, CODE32, retf
	add esp, 16
	; RET n releases parameters of both stacks
	GUARD
	push dword DATA3
	push dword 0x300100
	push dword 0x66
	push dword 0x55
	push dword CODE3
	push dword .user
	retf 8
	GUARDED
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [exc_esp], 0x300108
	; ring 3 cannot return inward
	RUN3 .inward
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], CODE32
	; IRET to ring 3 into a 16-bit stack: only SP is loaded
	SET_DESC S(6), 0x300000, 0xffff, D_P | D_DPL3 | D_DATA
	GUARD
	push dword S(6) | 3
	push dword 0x77770200
	push dword 2
	push dword CODE3
	push dword .user_esp
	iretd
	GUARDED
	CHECK_EQ dword [exc_vec], INT_RETURN
	and ebx, 0xffff
	CHECK_EQ ebx, 0x0200
	ret
.user:	int INT_RETURN
.user_esp:
	mov ebx, esp
	int INT_RETURN
.inward:
	push dword CODE32
	push dword .user
	retf

gates:
	SET_GATE gdt, GATE / 8, CODE32, .target, 0x8c, 3
	mov edx, esp
	call GATE:0xdead	; same level: the count is ignored
	CHECK_ESP edx
	CHECK_EQ ebx, CODE32
	mov dword [esp_seen], 0
	push dword CODE32
	push dword .jumped
	jmp GATE:0
.jumped:
	CHECK_ESP edx
	and byte [gdt + GATE + 5], 0x7f
	FAULTS EXC_NP, GATE, call GATE:0
	or byte [gdt + GATE + 5], 0x80
	FAULTS EXC_GP, GATE, call GATE | 3:0		; RPL > DPL of the gate
	SET_GATE gdt, GATE / 8, 0, .target, 0x8c, 0
	FAULTS EXC_GP, 0, call GATE:0
	SET_GATE gdt, GATE / 8, DATA32, .target, 0x8c, 0
	FAULTS EXC_GP, DATA32, call GATE:0
	SET_GATE gdt, GATE / 8, NOTP, .target, 0x8c, 0
	FAULTS EXC_NP, NOTP, call GATE:0
	SET_GATE gdt, GATE / 8, CODE3, .target, 0x8c, 0
	FAULTS EXC_GP, CODE3 & ~3, call GATE:0
	SET_GATE gdt, GATE / 8, SMALL, 0x10000, 0x8c, 0
	FAULTS EXC_GP, 0, call GATE:0
	SET_GATE gdt, GATE / 8, CODE32, .target, 0x8e, 0	; an interrupt gate in the GDT
	FAULTS EXC_GP, GATE, call GATE:0
	; 16-bit gate: words on the stack, IP of 16 bits
	SET_GATE gdt, GATE / 8, CODE16, 0x12340000 | LOW(.low), 0x84, 0
	mov edx, esp
	call GATE:0
.after16:
	CHECK_ESP edx
	mov eax, .after16
	and eax, 0xffff
	CHECK_EQ ebx, eax
	ret
.target:
	mov ebx, [esp + 4]
	retf
	section .low
	bits 16
gates.low:
	mov ebp, esp
	movzx ebx, word [ebp]
	; the word return address lost the high half: go back by a 32-bit jump
	add esp, 4
	jmp dword CODE32:gates.after16
	bits 32
	section .text

inner:	; from ring 3, three parameters
	SET_GATE gdt, GATE / 8, CODE32, .target, 0xec, 3
	RUN3 .user
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, 0x600d
	CHECK_EQ dword [esp_seen], stack0_tss_top - 7 * 4
	CHECK_EQ dword [frame], .after
	CHECK_EQ dword [frame + 4], CODE3
	CHECK_EQ dword [frame + 8], 3
	CHECK_EQ dword [frame + 12], 2
	CHECK_EQ dword [frame + 16], 1
	CHECK_EQ dword [frame + 20], ring3_stack_top - 12
	CHECK_EQ dword [frame + 24], DATA3
	CHECK_EQ dword [exc_esp], ring3_stack_top	; RET 12 dropped them
	CHECK_EQ dword [cs_seen], CODE32
	; JMP does not change the level
	RUN3 .user_jmp
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], CODE32
	; a gate to conforming code does not either
	SET_GATE gdt, GATE / 8, CONF, .conforming, 0xec, 0
	RUN3 .user_conforming
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ eax, CONF | 3
	; DPL 0 gate
	SET_GATE gdt, GATE / 8, CODE32, .target, 0x8c, 0
	RUN3 .user_conforming
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], GATE
	ret
.user:	push dword 1
	push dword 2
	push dword 3
	call GATE | 3:0
.after:	int INT_RETURN
.user_jmp:
	jmp GATE | 3:0
.user_conforming:
	call GATE | 3:0
	int INT_RETURN
.conforming:
	mov eax, cs
	retf
.target:
	mov ax, DATA32
	mov ds, ax
	mov es, ax
	mov [esp_seen], esp
	mov esi, esp
	mov edi, frame
	mov ecx, 7
	rep movsd
	mov eax, cs
	mov [cs_seen], eax
	mov eax, 0x600d
	retf 12

inner16:
	SET_GATE gdt, GATE / 8, CODE16, LOW(inner16.target), 0xe4, 2
	RUN3 LOW(inner16.user)
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [esp_seen], stack0_tss_top - 12
	CHECK_EQ16 [frame], LOW(inner16.user.after)
	CHECK_EQ16 [frame + 2], CODE3
	CHECK_EQ16 [frame + 4], 0x2222
	CHECK_EQ16 [frame + 6], 0x1111
	CHECK_EQ16 [frame + 10], DATA3
	ret
	section .low
inner16.user:			; runs with CODE3, below 64 KiB
	push word 0x1111
	push word 0x2222
	call GATE | 3:0
.after:	int INT_RETURN
	bits 16
inner16.target:
	mov ax, DATA32
	mov ds, ax
	mov es, ax
	mov [dword esp_seen], esp
	mov esi, esp
	mov edi, frame
	mov ecx, 6
	a32 rep movsw
	; the outer SP is 16 bits of what is above 64 KiB: leave by INT
	int INT_RETURN
	bits 32
	section .text

inner_faults:
	SET_GATE gdt, GATE / 8, CODE32, inner.target, 0xec, 0
	mov dword [tss + 8], 0
	call .try
	CHECK_EQ dword [exc_err], 0
	mov dword [tss + 8], CODE32
	call .try
	CHECK_EQ dword [exc_err], CODE32
	mov dword [tss + 8], DATA32
	ret
.try:	; the fault itself needs a good stack: a task
	SET_GATE idt, EXC_TS, DF_TSS, 0, 0x85, 0
	RUN3 inner.user_conforming
	SET_GATE idt, EXC_TS, CODE32, vec_stubs + EXC_TS * 8, 0x8e, 0
	CHECK_EQ dword [exc_vec], EXC_DF	; as df_entry calls it
	CHECK_EQ dword [tss + 76], CODE3
	ret

%define MSR_CS 0x174
%define MSR_ESP 0x175
%define MSR_EIP 0x176

%macro WRMSR32 2
	mov ecx, %1
	mov eax, %2
	xor edx, edx
	wrmsr
%endmacro

fast:
	mov eax, 1
	cpuid
	test edx, 1 << 11
	jz .none
	WRMSR32 MSR_CS, 0
	RUN3 .user
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], 0
	FAULTS EXC_GP, 0, sysexit
	; CS, SS, CS3, SS3 lie one after the other
	WRMSR32 MSR_CS, CODE32
	WRMSR32 MSR_ESP, 0x300800
	WRMSR32 MSR_EIP, .entry
	SET_DESC S(7), 0, 0xfffff, D_P | 0x1000 | D_BIG		; what is in the table does not matter
	RUN3 .user, 0x202
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [frame], CODE32
	CHECK_EQ dword [frame + 4], DATA32
	CHECK_EQ dword [frame + 8], 0x300800
	CHECK_EQ dword [frame + 12], 2			; IF clear
	CHECK_EQ dword [exc_cs], CODE3
	CHECK_EQ dword [exc_ss], DATA3
	CHECK_EQ dword [exc_esp], ring3_stack_top
	RUN3 .user_exit
	CHECK_EQ dword [exc_vec], EXC_GP
.none:	ret
.user:	mov ecx, esp
	mov edx, .after
	sysenter
.after:	int INT_RETURN
.user_exit:
	sysexit
.entry:	mov eax, cs
	mov [frame], eax
	mov eax, ss
	mov [frame + 4], eax
	mov [frame + 8], esp
	pushfd
	pop dword [frame + 12]
	sysexit

	section .data
esp_seen: dd 0
cs_seen:  dd 0
frame:	  times 8 dd 0

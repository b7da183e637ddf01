; SPDX-License-Identifier: GPL-2.0-or-later
; Task switches by JMP, CALL, IRET, interrupt and gate; both TSS formats; busy bits, links, NT, TS, LDT, T; what may go wrong. SDM
; vol. 3, ch. 7.
%define TEST_NAME "t_task"
%include "lib.inc"

%define S(n) (FREE_SEL + (n) * 8)
%define TASK2	S(0)		; 32 bits
%define TASK16	S(1)
%define GATE2	S(2)
%define LDT_SEL S(3)
%define BUSY 2
%define NT 0x4000

; A 32-bit TSS for entry %2
%macro INIT_TSS 2
	push dword %2
	push dword %1
	call init_tss
%endmacro

test_main:
	SET_DESC TASK2, tss2, 103, 0x8900
	SET_DESC TASK16, tss16, 43, 0x8100
	SET_DESC LDT_SEL, ldt, 15, 0x8200
	SET_GATE gdt, GATE2 / 8, TASK2, 0, 0x85, 0
	SET_DESC S(5), ldt_data, 3, D_P | D_DATA
	mov eax, [gdt + S(5)]
	mov [ldt], eax
	mov eax, [gdt + S(5) + 4]
	mov [ldt + 4], eax
	call by_jmp
	call by_call
	call by_gate
	call by_int
	call sixteen
	call faults
	call new_task_faults
	call trap
	call user
	call to_v86
	ret

init_tss:			; (tss, entry)
	pushad
	mov edi, [esp + 36]
	xor eax, eax
	mov ecx, 26
	rep stosd
	mov edi, [esp + 36]
	mov eax, [esp + 40]
	mov [edi + 32], eax
	mov dword [edi + 36], 2
	mov dword [edi + 56], task_stack_top
	mov eax, cr3
	mov [edi + 28], eax
	mov eax, DATA32
	mov [edi + 72], eax
	mov [edi + 80], eax
	mov [edi + 84], eax
	mov [edi + 88], eax
	mov [edi + 92], eax
	mov dword [edi + 76], CODE32
	mov word [edi + 102], 104
	popad
	ret 8

%macro CHECK_BUSY 2.nolist	; selector, BUSY or 0
	push eax
	movzx eax, byte [gdt + (%1) + 5]
	and eax, BUSY
	CHECK_EQ eax, %2
	pop eax
%endmacro

by_jmp:
	INIT_TSS tss2, .task
	mov dword [tss2 + 40], 0x11111111	; eax
	mov dword [tss2 + 44], 0x22222222	; ecx
	mov dword [tss2 + 60], 0x66666666	; ebp
	mov dword [tss2 + 36], 0x8d7
	mov word [tss2 + 96], LDT_SEL
	mov word [tss2 + 92], 4		; gs: in the LDT
	mov ebx, 0x33333333
	mov esi, 0x77777777
	push dword 0x4d7
	popfd
	jmp TASK2:0
.back:
	CHECK_EQ eax, 0x44444444	; the task has put it there
	CHECK_EQ ebx, 0x33333333
	CHECK_EQ esi, 0x77777777
	push dword 2
	popfd
	CHECK_EQ dword [seen], 0x11111111
	CHECK_EQ dword [seen + 4], 0x22222222
	CHECK_EQ dword [seen + 8], 0x66666666
	CHECK_EQ dword [seen + 12], 0x8d7
	CHECK_EQ dword [seen + 16], TASK2
	CHECK_EQ dword [seen + 20], LDT_SEL
	CHECK_EQ dword [seen + 24], 0x5a5a5a5a
	CHECK_EQ dword [seen + 28], 8	; CR0.TS
	CHECK_EQ dword [tss + 32], .back
	CHECK_EQ dword [tss + 36], 0x4d7
	CHECK_EQ dword [tss + 52], 0x33333333
	CHECK_EQ dword [tss2 + 32], .task_end
	CHECK_BUSY TASK2, 0
	CHECK_BUSY TSS_SEL, BUSY
	str ax
	CHECK_EQ16 ax, TSS_SEL
	clts
	mov ax, DATA32
	mov gs, ax
	ret
.task:	mov [seen], eax
	mov [seen + 4], ecx
	mov [seen + 8], ebp
	pushfd
	pop dword [seen + 12]
	xor eax, eax
	str ax
	mov [seen + 16], eax
	sldt ax
	mov [seen + 20], eax
	mov eax, [gs:0]
	mov [seen + 24], eax
	mov eax, cr0
	and eax, 8
	mov [seen + 28], eax
	CHECK_BUSY TASK2, BUSY
	CHECK_BUSY TSS_SEL, 0
	mov dword [tss + 40], 0x44444444
	jmp TSS_SEL:0
.task_end:

by_call:
	INIT_TSS tss2, .task
	call TASK2:0
.back:
	CHECK_EQ dword [seen], NT | 2
	CHECK_EQ16 [tss2], TSS_SEL
	CHECK_BUSY TASK2, 0
	CHECK_BUSY TSS_SEL, BUSY
	CHECK_EQ dword [tss + 32], .back
	mov eax, [tss2 + 36]
	and eax, NT
	CHECK_EQ eax, 0			; the image of a task that left by IRET
	pushfd
	pop eax
	and eax, NT
	CHECK_EQ eax, 0
	call TASK2:0			; goes on behind its IRET
	CHECK_EQ dword [seen], 0x600d
	clts
	ret
.task:	pushfd
	pop dword [seen]
	CHECK_BUSY TASK2, BUSY
	CHECK_BUSY TSS_SEL, BUSY
	iretd
	mov dword [seen], 0x600d
	iretd

by_gate:
	INIT_TSS tss2, .task
	call GATE2:0x12345678
	CHECK_EQ dword [seen], 0x6a7e
	mov ax, GATE2			; a gate is not a TSS
	FAULTS EXC_GP, GATE2, ltr ax
	clts
	ret
.task:	mov dword [seen], 0x6a7e
	iretd

by_int:
	SET_GATE idt, 0x22, TASK2, 0, 0x85, 0
	INIT_TSS tss2, .task
	int 0x22
.back:
	CHECK_EQ dword [seen], .back
	CHECK_EQ dword [seen + 4], task_stack_top
	; a fault with an error code: it is pushed on the new stack
	SET_GATE idt, EXC_GP, TASK2, 0, 0x85, 0
	INIT_TSS tss2, .fault_task
	mov ax, CODE32
.bad:	mov ss, ax
.after:
	CHECK_EQ dword [seen], .bad
	CHECK_EQ dword [seen + 4], CODE32
	mov eax, [seen + 8]
	and eax, 0x10000
	CHECK_EQ eax, 0x10000		; RF in the saved image
	SET_GATE idt, EXC_GP, CODE32, vec_stubs + EXC_GP * 8, 0x8e, 0
	SET_GATE idt, 0x22, CODE32, vec_stubs + 0x22 * 8, 0x8e, 0
	clts
	ret
.task:	mov eax, [tss + 32]
	mov [seen], eax
	mov [seen + 4], esp
	iretd
.fault_task:
	mov eax, [tss + 32]
	mov [seen], eax
	mov eax, [tss + 36]
	mov [seen + 8], eax
	pop dword [seen + 4]
	mov dword [tss + 32], .after
	iretd

sixteen:
	mov edi, tss16
	xor eax, eax
	mov ecx, 11
	rep stosd
	mov word [tss16 + 14], LOW(.task)
	mov word [tss16 + 16], 0x8d7
	mov word [tss16 + 18], 0x1111		; ax
	mov word [tss16 + 26], 0x7000		; sp
	mov word [tss16 + 34], DATA16
	mov word [tss16 + 36], CODE16
	mov word [tss16 + 38], DATA16
	mov word [tss16 + 40], DATA16
	mov ax, DATA32
	mov fs, ax
	call TASK16:0
.back:
	CHECK_EQ16 [0x7f00], 0x1111
	CHECK_EQ16 [0x7f02], 0x48d7		; NT
	CHECK_EQ16 [0x7f04], 0			; FS is not in a 16-bit TSS: null
	CHECK_EQ16 [tss16], TSS_SEL
	CHECK_BUSY TASK16, 0
	CHECK_EQ16 [tss16 + 20], 0x2222
	mov ax, fs
	CHECK_EQ16 ax, DATA32
	clts
	ret
	section .low
	bits 16
sixteen.task:
	mov [0x7f00], ax
	pushf
	pop word [0x7f02]
	mov ax, fs
	mov [0x7f04], ax
	mov cx, 0x2222
	iret
	bits 32
	section .text

faults:				; of the old task: nothing has happened
	INIT_TSS tss2, faults
	FAULTS EXC_GP, TSS_SEL, jmp TSS_SEL:0		; busy
	and byte [gdt + TASK2 + 5], 0x7f
	FAULTS EXC_NP, TASK2, jmp TASK2:0
	or byte [gdt + TASK2 + 5], 0x80
	SET_DESC TASK2, tss2, 102, 0x8900
	FAULTS EXC_TS, TASK2, jmp TASK2:0
	SET_DESC TASK2, tss2, 103, 0x8900
	and byte [gdt + GATE2 + 5], 0x7f
	FAULTS EXC_NP, GATE2, call GATE2:0
	or byte [gdt + GATE2 + 5], 0x80
	SET_GATE gdt, GATE2 / 8, TSS_SEL, 0, 0x85, 0	; a gate to a busy task
	FAULTS EXC_GP, TSS_SEL, call GATE2:0
	SET_GATE gdt, GATE2 / 8, CODE32, 0, 0x85, 0
	FAULTS EXC_GP, CODE32, call GATE2:0
	SET_GATE gdt, GATE2 / 8, TASK2, 0, 0x85, 0
	; IRET with NT and a bad link
	mov word [tss], TASK2			; not busy
	GUARD
	push dword NT | 2
	popfd
.iret:	iretd
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_TS
	CHECK_EQ dword [exc_err], TASK2
	CHECK_EQ dword [exc_eip], .iret
	mov word [tss], 4
	GUARD
	push dword NT | 2
	popfd
	iretd
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_TS
	CHECK_EQ dword [exc_err], 4
	mov word [tss], 0
	CHECK_BUSY TASK2, 0
	ret

; Of the new task: eip is the new one, TR is the new task's
%macro NEW_TASK_FAULT 2.nolist
	jmp TASK2:0
%%back:
	clts
	CHECK_EQ dword [exc_vec], %1
	CHECK_EQ dword [exc_err], %2
	CHECK_EQ dword [exc_eip], new_task_faults.task
	CHECK_EQ dword [seen], TASK2
%endmacro

%macro DOUBLE_FAULT 0.nolist
	GUARD
	jmp TASK2:0
	GUARDED
	SET_DESC TASK2, tss2, 103, 0x8900
	CHECK_EQ dword [exc_vec], EXC_DF
	CHECK_EQ dword [tss2 + 32], new_task_faults.task
%endmacro

new_task_faults:
	mov dword [exc_hook], .hook
	INIT_TSS tss2, .task
	mov dword [tss2 + 84], DATA32 | 3	; DS: DPL 0, RPL 3
	NEW_TASK_FAULT EXC_TS, DATA32
	SET_DESC S(4), 0, 0xfffff, D_DATA | D_BIG | D_PAGES
	INIT_TSS tss2, .task
	mov dword [tss2 + 72], S(4)		; ES not present
	NEW_TASK_FAULT EXC_NP, S(4)
	mov dword [exc_hook], 0
	; without a stack segment the fault cannot be delivered there: a double fault, in its own task
	INIT_TSS tss2, .task
	mov dword [tss2 + 80], 0		; null SS
	DOUBLE_FAULT
	INIT_TSS tss2, .task
	mov dword [tss2 + 96], TSS_SEL		; LDT that is none
	DOUBLE_FAULT
	ret
.task:	ud2
; In the new task, with its half-loaded registers: back to the old task by hand
.hook:
	xor eax, eax
	str ax
	mov [seen], eax
	jmp TSS_SEL:0

trap:	; T: a debug trap before the first instruction of the task
	INIT_TSS tss2, .task
	mov word [tss2 + 100], 1
	mov dword [exc_hook], .hook
	xor eax, eax
	mov dr6, eax
	call TASK2:0
	mov dword [exc_hook], 0
	CHECK_EQ dword [exc_vec], EXC_DB
	CHECK_EQ dword [exc_eip], .task
	CHECK_EQ dword [seen], 0x600d
	mov eax, dr6
	and eax, 0xe00f
	CHECK_EQ eax, 0x8000
	xor eax, eax
	mov dr6, eax
	clts
	ret
.hook:	ret
.task:	mov dword [seen], 0x600d
	iretd

user:	; privilege of TSS descriptors and gates
	INIT_TSS tss2, .task
	RUN3 .jmp
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], TASK2
	RUN3 .gate
	CHECK_EQ dword [exc_vec], EXC_GP
	CHECK_EQ dword [exc_err], GATE2
	SET_GATE gdt, GATE2 / 8, TASK2, 0, 0xe5, 0
	RUN3 .gate3
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [seen], 0x600d
	SET_GATE gdt, GATE2 / 8, TASK2, 0, 0x85, 0
	clts
	ret
.jmp:	jmp TASK2:0
.gate:	call GATE2:0
.gate3:	call GATE2 | 3:0
	int INT_RETURN
.task:	mov dword [seen], 0x600d
	iretd

to_v86:	; a task in virtual-8086 mode
	INIT_TSS tss2, LOW(.task)
	mov dword [tss2 + 36], 0x23002
	mov dword [tss2 + 4], task_stack_top
	mov dword [tss2 + 8], DATA32
	mov dword [tss2 + 56], 0x7000
	mov dword [tss2 + 72], 0x1000		; es
	mov dword [tss2 + 76], 0
	mov dword [tss2 + 80], 0
	mov dword [tss2 + 84], 0x2000
	mov dword [0x20004], 0x12345678
	mov dword [exc_hook], .hook
	or byte [idt + 0x21 * 8 + 5], 0x60
	jmp TASK2:0
.back:
	mov dword [exc_hook], 0
	CHECK_EQ dword [exc_vec], 0x21
	CHECK_EQ dword [exc_v86_segs], 0x1000
	CHECK_EQ dword [exc_regs + 28], 0x12345678
	CHECK_EQ dword [tss2 + 76], CODE32	; left in ring 0
	clts
	ret
.hook:	mov dword [tss + 32], .back
	jmp TSS_SEL:0
	section .low
	bits 16
to_v86.task:
	mov eax, [4]
	int 0x21
	bits 32
	section .text

	section .data
	align 8
ldt:	dq 0, 0				; [0]: data at ldt_data
ldt_data: dd 0x5a5a5a5a
seen:	times 10 dd 0
	section .bss
tss2:	resb 104 + 1
	alignb 4
tss16:	resb 44
	resb 4096
task_stack_top:

; SPDX-License-Identifier: GPL-2.0-or-later
; Single step, breakpoint registers, RF, and what STI and MOV SS hold back. SDM vol. 3, ch. 17, 6.8.
%define TEST_NAME "t_debug"
%include "lib.inc"

%define TF 0x100
%define DR6_BITS 0xe00f
%define LOG_MAX 16

; Debug exceptions are logged: eip, DR6, flags. The hook goes on behind them.
%macro LOG_START 0
	mov dword [log_n], 0
	mov dword [exc_hook], log_hook
	xor eax, eax
	mov dr6, eax
%endmacro
%macro LOG_END 1.nolist		; number of entries
	mov dword [exc_hook], 0
	CHECK_EQ dword [log_n], %1
%endmacro
%macro CHECK_LOG 3.nolist	; entry, eip, DR6 bits
	CHECK_EQ dword [log + (%1) * 12], %2
	CHECK_EQ dword [log + (%1) * 12 + 4], %3
%endmacro

; DR7 for breakpoint n: kind 0 execute, 1 write, 2 I/O, 3 read or write; length code
%define DR7(n, kind, len) (2 << (2 * (n)) | (kind) << (16 + 4 * (n)) | (len) << (18 + 4 * (n)))

test_main:
	call registers
	call step
	call step_shadow
	call step_calls
	call execute
	call resume
	call data
	call strings
	call io
	call detect
	call shadow
	call user
	ret

log_hook:
	cmp dword [exc_vec], EXC_DB
	jne exc_unexpected
	mov ecx, [log_n]
	cmp ecx, LOG_MAX
	jae exc_unexpected
	lea edi, [ecx * 3]
	lea edi, [log + edi * 4]
	mov eax, [exc_eip]
	mov [edi], eax
	mov eax, dr6
	and eax, DR6_BITS
	mov [edi + 4], eax
	mov eax, [exc_flags]
	mov [edi + 8], eax
	inc dword [log_n]
	xor eax, eax
	mov dr6, eax
	mov edi, [exc_frame]
	test dword [set_rf], 1
	jz .end
	or dword [edi + 8], 0x10000
.end:	ret

set_tf:
	pushfd
	or dword [esp], TF
	popfd
	ret

registers:
	mov eax, -1
	mov dr6, eax
	mov eax, dr6
	CHECK_EQ eax, 0xffffefff
	xor eax, eax
	mov dr6, eax
	mov eax, dr6
	CHECK_EQ eax, 0xffff0ff0
	xor eax, eax
	mov dr7, eax
	mov eax, dr7
	CHECK_EQ eax, 0x400
	mov eax, 0x12345678
	mov dr3, eax
	mov ebx, dr3
	CHECK_EQ ebx, eax
	mov ebx, dr5		; without CR4.DE: DR7
	CHECK_EQ ebx, 0x400
	mov ecx, cr4
	or ecx, 8
	mov cr4, ecx
	FAULTS EXC_UD, -1, mov ebx, dr5
	FAULTS EXC_UD, -1, mov dr4, ebx
	and ecx, ~8
	mov cr4, ecx
	xor eax, eax
	mov dr3, eax
	ret

step:
	LOG_START
	pushfd
	or dword [esp], TF
	popfd
.i1:	nop			; the first trap comes after this
.i2:	mov ecx, 2
.i3:	loop .i3
.i4:	push dword 2
.i5:	popfd			; TF goes; its trap still comes
.i6:	nop
	LOG_END 6
	CHECK_LOG 0, .i2, 0x4000
	CHECK_LOG 1, .i3, 0x4000
	CHECK_LOG 2, .i3, 0x4000
	CHECK_LOG 3, .i4, 0x4000
	CHECK_LOG 4, .i5, 0x4000
	CHECK_LOG 5, .i6, 0x4000
	; each iteration of a string instruction
	LOG_START
	mov ecx, 3
	mov edi, 0x300000
	pushfd
	or dword [esp], TF
	popfd
.rep:	rep stosb
.r2:	push dword 2
.r3:	popfd
.r4:	nop
	LOG_END 5
	CHECK_LOG 0, .rep, 0x4000
	CHECK_LOG 1, .rep, 0x4000
	CHECK_LOG 2, .r2, 0x4000
	CHECK_EQ edi, 0x300003
	ONLY_HERE .no_rf
	mov eax, [log + 8]
	and eax, 0x10000
	CHECK_EQ eax, 0x10000	; RF between iterations
.no_rf:
	mov eax, [log + 2 * 12 + 8]
	and eax, 0x10000
	CHECK_EQ eax, 0
	ret

step_shadow:	; MOV SS swallows its trap
	LOG_START
	mov ax, ss
	pushfd
	or dword [esp], TF
	popfd
.i1:	mov ss, ax
.i2:	nop
.i3:	push dword 2
.i4:	popfd
.i5:	nop
	LOG_END 3
	CHECK_LOG 0, .i3, 0x4000
	CHECK_LOG 1, .i4, 0x4000
	CHECK_LOG 2, .i5, 0x4000
	ret

step_calls:	; INT clears TF: nothing of the handler is stepped, and no trap for INT itself
	LOG_START
	SET_GATE idt, 0x22, CODE32, .handler, 0x8e, 0
	pushfd
	or dword [esp], TF
	popfd
.i1:	int 0x22
.i2:	nop
.i3:	push dword 2
.i4:	popfd
.i5:	nop
	LOG_END 3
	CHECK_LOG 0, .i3, 0x4000
	SET_GATE idt, 0x22, CODE32, vec_stubs + 0x22 * 8, 0x8e, 0
	; a faulting instruction is not trapped
	GUARD
	call set_tf
	ud2
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_DB	; of RET in set_tf
	ret
.handler:
	nop
	iretd

execute:
	LOG_START
	mov dword [set_rf], 1
	mov eax, .bp
	mov dr0, eax
	mov eax, .bp2
	mov dr1, eax
	mov eax, DR7(0, 0, 0) | DR7(1, 0, 0)
	mov dr7, eax
	xor ecx, ecx
.i1:	nop
.bp:	inc ecx
.bp2:	inc ecx
	xor eax, eax
	mov dr7, eax
	LOG_END 2
	CHECK_LOG 0, .bp, 1
	CHECK_LOG 1, .bp2, 2
	CHECK_EQ ecx, 2
	mov eax, [log + 8]
	and eax, 0x10000
	CHECK_EQ eax, 0		; RF is the handler's to set
	; not in the middle of an instruction
	LOG_START
	mov eax, .imm + 1
	mov dr0, eax
	mov eax, DR7(0, 0, 0)
	mov dr7, eax
.imm:	mov eax, 0
	mov dr7, eax
	LOG_END 0
	mov dword [set_rf], 0
	ret

resume:	; RF lasts for one instruction, and for all iterations of a string instruction
	LOG_START
	mov dword [set_rf], 1
	mov eax, .rep
	mov dr2, eax
	mov eax, DR7(2, 0, 0)
	mov dr7, eax
	mov edx, 2
.again:	mov ecx, 5
	mov edi, 0x300000
.rep:	rep stosb
	dec edx
	jnz .again
	xor eax, eax
	mov dr7, eax
	LOG_END 2
	CHECK_LOG 0, .rep, 4
	CHECK_LOG 1, .rep, 4
	mov dword [set_rf], 0
	ret

data:
	LOG_START
	mov eax, 0x300002
	mov dr1, eax
	mov eax, DR7(1, 1, 1)		; write, 2 bytes: 300002h-300003h
	mov dr7, eax
	mov al, [0x300002]
	mov [0x300000], ax
	mov [0x300004], eax
.w1:	mov [0x300000], eax
.a1:	nop
.w2:	mov [0x300003], al
.a2:	push dword [0x300002]
	pop dword [0x300001]
.a3:	nop
	xor eax, eax
	mov dr7, eax
	LOG_END 3
	CHECK_LOG 0, .a1, 2
	CHECK_LOG 1, .a2, 2
	CHECK_LOG 2, .a3, 2
	; read or write; length 4
	LOG_START
	mov eax, 0x300010
	mov dr3, eax
	mov eax, DR7(3, 3, 3)
	mov dr7, eax
	mov al, [0x30000f]
	mov al, [0x300014]
	mov al, [0x300013]
.a4:	mov ax, [0x30000f]
.a5:	inc dword [0x300010]
.a6:	xor eax, eax
	mov dr7, eax
	LOG_END 3
	CHECK_LOG 0, .a4, 8
	CHECK_LOG 1, .a5, 8
	CHECK_LOG 2, .a6, 8
	; MOV SS from a watched word: held back until the next instruction is done
	LOG_START
	mov dword [0x300010], DATA32
	mov eax, DR7(3, 3, 3)
	mov dr7, eax
	mov ss, [0x300010]
.a7:	nop
.a8:	nop
	xor eax, eax
	mov dr7, eax
	LOG_END 1
	CHECK_LOG 0, .a8, 8
	; not in the page, and disabled again: no traps
	LOG_START
	mov [0x300010], eax
	LOG_END 0
	ret

strings:	; a trap after the iteration that touched it
	LOG_START
	mov eax, 0x300022
	mov dr0, eax
	mov eax, DR7(0, 1, 0)
	mov dr7, eax
	mov edi, 0x300020
	mov ecx, 4
.rep:	rep stosb
.after:	xor eax, eax
	mov dr7, eax
	LOG_END 1
	CHECK_LOG 0, .rep, 1
	CHECK_EQ edi, 0x300024
	CHECK_EQ ecx, 0
	ret

io:
	mov ecx, cr4
	or ecx, 8
	mov cr4, ecx
	LOG_START
	mov eax, 0x80
	mov dr0, eax
	mov eax, DR7(0, 2, 0)
	mov dr7, eax
	in al, 0x81
	in al, 0x80
.a1:	out 0x80, al
.a2:	xor eax, eax
	mov dr7, eax
	LOG_END 2
	CHECK_LOG 0, .a1, 1
	CHECK_LOG 1, .a2, 1
	mov ecx, cr4
	and ecx, ~8
	mov cr4, ecx
	ret

detect:	; DR7.GD: a fault at any MOV DR; it is cleared on the way
	LOG_START
	mov dword [exc_hook], .hook
	mov eax, 0x2000
	mov dr7, eax
.bad:	mov ebx, dr0
	mov dword [exc_hook], 0
	CHECK_EQ dword [exc_eip], .bad
	ONLY_HERE .no_rf
	mov eax, [exc_flags]
	and eax, 0x10000
	CHECK_EQ eax, 0x10000
.no_rf:	mov eax, dr6
	and eax, DR6_BITS
	CHECK_EQ eax, 0x2000
	mov eax, dr7
	CHECK_EQ eax, 0x400
	xor eax, eax
	mov dr6, eax
	ret
.hook:	ret

shadow:	; a code breakpoint behind MOV SS does not come
	LOG_START
	mov dword [set_rf], 1
	mov eax, .bp
	mov dr0, eax
	mov eax, DR7(0, 0, 0)
	mov dr7, eax
	mov ax, ss
	mov ss, ax
.bp:	nop
	xor eax, eax
	mov dr7, eax
	LOG_END 0
	mov dword [set_rf], 0
	ret

user:
	RUN3 .mov_dr
	CHECK_EQ dword [exc_vec], EXC_GP
	; stepping into ring 0 by SYSENTER or a call gate goes on there; INT 80h ends it
	RUN3 .step, TF | 2
	CHECK_EQ dword [exc_vec], EXC_DB
	CHECK_EQ dword [exc_eip], .step2
	CHECK_EQ dword [exc_cs], CODE3
	ret
.mov_dr:
	mov eax, dr0
.step:	nop
.step2:	nop
	int INT_RETURN

	section .data
set_rf:	dd 0
log_n:	dd 0
log:	times LOG_MAX * 3 dd 0

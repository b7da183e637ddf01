; SPDX-License-Identifier: GPL-2.0-or-later
; Real mode: the way there and back, interrupts by the IVT, limits, "unreal" segments, instructions it does not know. SDM vol. 3,
; 9.9 (switching), 20.1.
%define TEST_NAME "t_real"
%include "lib.inc"

%define S(n) (FREE_SEL + (n) * 8)
%define FLAT16 S(0)		; data, 4 GiB, 16-bit stack

; Calls a 16-bit routine of section .low in real mode, segments 0, SP 7000h. It ends by RET.
%macro REAL 1
	mov word [0x6ff0], LOW(%1)
	call go_real
%endmacro

%define BOX 0x7100		; 16-bit results
%define INT_LOG 0x7200		; count, then vector, ip, cs, flags

test_main:
	SET_DESC FLAT16, 0, 0xfffff, D_P | D_DATA | D_PAGES
	call make_ivt
	call basics
	call ints
	call faults
	call unreal
	call a20
	call big
	ret

make_ivt:			; 256 stubs in .low, each: PUSH vector, JMP
	xor ebx, ebx
.next:	lea eax, [LOW(stubs) + ebx * 4]
	mov [ebx * 4], eax	; segment 0
	inc ebx
	cmp ebx, 256
	jb .next
	ret

go_real:
	pushad
	mov dword [INT_LOG], 0
	mov [0x6ff4], esp
	jmp CODE16:LOW(to_real)
back_from_real:
	mov ax, DATA32
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov gs, ax
	mov esp, [0x6ff4]
	lidt [idt_ptr]
	popad
	ret

	section .low
	bits 16
to_real:
	mov ax, DATA16
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov gs, ax
	mov ss, ax
	o32 lidt [LOW(ivt_ptr)]
	mov eax, cr0
	and al, 0xfe
	mov cr0, eax
	jmp 0:LOW(.real)
.real:	xor ax, ax
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov gs, ax
	mov ss, ax
	mov sp, 0x7000 - 0x20
	call [0x6ff0]
leave_real:
	cli
	o32 lgdt [LOW(gdt_copy)]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword CODE32:back_from_real
ivt_ptr: dw 0x3ff
	 dd 0
	align 4
gdt_copy: dw GDT_LEN * 8 - 1
	dd gdt

	align 4
stubs:				; 4 bytes each: the pushed address tells the vector
%rep 256
	call int_common
	align 4
%endrep

int_common:			; [sp] behind the stub's CALL; ip, cs, flags
	push bp
	mov bp, sp
	push ax
	push bx
	push ds
	xor ax, ax
	mov ds, ax
	mov bx, [INT_LOG]
	inc word [INT_LOG]
	shl bx, 3
	mov ax, [bp + 2]
	sub ax, LOW(stubs) + 3
	shr ax, 2
	mov [bx + INT_LOG + 2], ax
	mov ax, [bp + 4]
	mov [bx + INT_LOG + 4], ax
	mov ax, [bp + 6]
	mov [bx + INT_LOG + 6], ax
	mov ax, [bp + 8]
	mov [bx + INT_LOG + 8], ax
	; faults go on where BOX-2 says
	cmp word [BOX - 2], 0
	je .end
	mov ax, [BOX - 2]
	mov [bp + 4], ax
	mov word [bp + 6], 0
.end:	pop ds
	pop bx
	pop ax
	pop bp
	add sp, 2
	iret

; FAULTS16 vector, instruction, in real mode
%macro FAULTS16 2+
	mov word [BOX - 2], LOW(%%after)
	mov word [INT_LOG], 0
%%insn:	%2
%%after:
	mov word [BOX - 2], 0
	CHECK16 word [INT_LOG], 1
	CHECK16 word [INT_LOG + 2], %1
	CHECK16 word [INT_LOG + 4], LOW(%%insn)
%endmacro

; Counts failures at BOX + 0, the number of the first bad check at BOX + 2 (__LINE__)
%macro CHECK16 2.nolist
	cmp %1, %2
	je %%ok
	inc word [BOX]
	mov word [BOX + 2], __LINE__
%%ok:
%endmacro

r_basics:
	mov ax, cs
	mov [BOX + 4], ax
	smsw ax
	and ax, 1
	mov [BOX + 6], ax
	call 0:LOW(.far)
	mov [BOX + 8], ax
	pushf
	push cs
	push word LOW(.iret)
	iret
.iret:	mov word [BOX + 10], 1
	; all of EFLAGS that real mode can change
	push dword 0x00247ed7
	popfd
	pushfd
	pop dword [BOX + 12]
	push dword 2
	popfd
	mov ax, 0xffff		; addresses are 20 bits and some
	mov es, ax
	mov ax, [es:0x10]
	mov [BOX + 16], ax
	push dword 0x12345678	; 32-bit operations work
	pop dword [BOX + 20]
	mov eax, 0x10
	mov ebx, LOW(.data)
	mov ecx, [ebx]
	mov [BOX + 24], ecx
	ret
.far:	mov ax, 0x600d
	retf
.data:	dd 0xcafebabe

r_ints:
	mov word [INT_LOG], 0
	push word 0x0ad7 | 0x200
	popf
	int 0x42
.after:	pushf
	pop word [BOX + 4]
	cli
	CHECK16 word [INT_LOG + 2], 0x42
	CHECK16 word [INT_LOG + 4], LOW(.after)
	CHECK16 word [INT_LOG + 6], 0
	CHECK16 word [INT_LOG + 8], 0x0ad7
	CHECK16 word [BOX + 4], 0x0ad7
	mov word [INT_LOG], 0
	int3
.after3:
	CHECK16 word [INT_LOG + 2], 3
	CHECK16 word [INT_LOG + 4], LOW(.after3)
	mov word [INT_LOG], 0
	mov al, 0x80
	sub al, 1
	into
	CHECK16 word [INT_LOG + 2], 4
	; single step
	mov word [INT_LOG], 0
	push word 0x102
	popf
	nop
.s1:	push word 2
.s2:	popf
.s3:	CHECK16 word [INT_LOG], 3
	CHECK16 word [INT_LOG + 2], 1
	CHECK16 word [INT_LOG + 4], LOW(.s1)
	CHECK16 word [INT_LOG + 20], LOW(.s3)
	; an IVT that is too short
	lidt [LOW(.short)]
	FAULTS16 13, int 0x42
	lidt [LOW(ivt_ptr)]
	ret
.short:	dw 0x42 * 4 + 2
	dd 0

r_faults:
	xor cx, cx
	FAULTS16 0, div cx
	FAULTS16 6, ud2
	FAULTS16 13, mov ax, [0xffff]
	FAULTS16 13, mov [0xffff], ax
	mov ebx, 0x10000
	FAULTS16 13, mov al, [ebx]
	mov ebp, 0xffff
	FAULTS16 12, mov ax, [ebp]
	FAULTS16 12, mov ax, [bp]
	FAULTS16 6, str ax
	FAULTS16 6, sldt ax
	FAULTS16 6, lar ax, ax
	FAULTS16 6, lsl ax, ax
	FAULTS16 6, verr ax
	FAULTS16 6, lldt ax
	FAULTS16 6, ltr ax
	mov si, 0xffff
	FAULTS16 13, lodsw
	mov eax, cr0
	or eax, 0x80000000	; PG without PE
	FAULTS16 13, mov cr0, eax
	or eax, 0x20000000
	and eax, 0x3fffffff	; NW without CD
	FAULTS16 13, mov cr0, eax
	mov eax, cr0
	or al, 8
	mov cr0, eax
	FAULTS16 7, fnop
	clts
	mov word [INT_LOG], 0
	mov word [BOX - 2], LOW(.j)
	jmp dword 0x10000	; outside of CS
.j:	mov word [BOX - 2], 0
	CHECK16 word [INT_LOG + 2], 13
	; CS may be written through
	mov word [cs:BOX + 4], 0x1357
	CHECK16 word [BOX + 4], 0x1357
	ret

r_unreal:			; a limit from protected mode stays, whatever is loaded after it
	cli
	push ds
	o32 lgdt [LOW(gdt_copy)]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp .p
.p:	mov bx, FLAT16
	mov fs, bx
	and al, 0xfe
	mov cr0, eax
	jmp .r
.r:	pop ds
	mov ebx, 0x300000
	mov dword [fs:ebx], 0x13579bdf
	xor ax, ax
	mov fs, ax
	mov eax, [fs:ebx]
	mov [BOX + 4], eax
	mov ax, 0x1000
	mov fs, ax
	mov eax, [fs:ebx - 0x10000]
	mov [BOX + 8], eax
	FAULTS16 13, mov eax, [gs:ebx]
	xor ax, ax
	mov fs, ax
	ret

r_a20:
	mov ax, 0xffff
	mov es, ax
	mov ax, [es:0x7f10]	; 107f00h
	mov [BOX + 4], ax
	ret
	bits 32
	section .text

%macro CHECK_BOX 0.nolist
	CHECK_EQ16 [BOX + 2], 0		; the line of the last bad check
	CHECK_EQ16 [BOX], 0
%endmacro
%macro CLEAR_BOX 0
	push edi
	mov edi, BOX - 4
	mov ecx, 16
	xor eax, eax
	rep stosd
	pop edi
%endmacro

basics:
	CLEAR_BOX
	mov dword [0x100000 + 12], _start	; FFFF:0010 is 100000h
	REAL r_basics
	CHECK_EQ16 [BOX + 4], 0
	CHECK_EQ16 [BOX + 6], 0
	CHECK_EQ16 [BOX + 8], 0x600d
	CHECK_EQ16 [BOX + 10], 1
	CHECK_EQ dword [BOX + 12], 0x00247ed7
	CHECK_EQ16 [BOX + 16], 0xb002
	CHECK_EQ dword [BOX + 20], 0x12345678
	CHECK_EQ dword [BOX + 24], 0xcafebabe
	ret

ints:
	CLEAR_BOX
	REAL r_ints
	CHECK_BOX
	ret

faults:
	CLEAR_BOX
	REAL r_faults
	CHECK_BOX
	ret

unreal:
	CLEAR_BOX
	REAL r_unreal
	CHECK_BOX
	CHECK_EQ dword [BOX + 4], 0x13579bdf
	CHECK_EQ dword [BOX + 8], 0x13579bdf
	ret

a20:
	CLEAR_BOX
	mov word [0x107f00], 0x2468
	mov word [0x007f00], 0x1111
	REAL r_a20
	CHECK_EQ16 [BOX + 4], 0x2468
	ret

; A 16-bit code segment in protected mode, for comparison: the stack pointer's high half and wrapping
big:
	mov edx, esp
	mov ax, FLAT16
	mov ss, ax
	mov esp, 0x12340000
	push eax		; wraps to FFFCh
	mov ebx, esp
	mov ax, DATA32
	mov ss, ax
	mov esp, edx
	CHECK_EQ ebx, 0x1234fffc
	ret

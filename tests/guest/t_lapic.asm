; SPDX-License-Identifier: GPL-2.0-or-later
; The local APIC: registers, priorities, self interrupts, timer, and the interrupt windows of STI, MOV SS and HLT. SDM vol. 3, ch. 10.
%define TEST_NAME "t_lapic"
%include "lib.inc"

%define APIC 0xfee00000
%define ID   0x20
%define VER  0x30
%define TPR  0x80
%define PPR  0xa0
%define EOI  0xb0
%define LDR  0xd0
%define DFR  0xe0
%define SVR  0xf0
%define ISR  0x100
%define IRR  0x200
%define ESR  0x280
%define ICR  0x300
%define LVT_TIMER 0x320
%define LVT_ERROR 0x370
%define INITIAL 0x380
%define CURRENT 0x390
%define DIVIDE 0x3e0
%define SELF 0x40000
%define MASKED 0x10000

%macro SELF_IPI 1
	mov dword [APIC + ICR], SELF | (%1)
%endmacro

test_main:
	mov eax, 1
	cpuid
	test edx, 1 << 9
	jz .none
	mov ecx, 0x1b
	rdmsr
	and eax, 0xfffff900
	CHECK_EQ eax, APIC | 0x900
	call registers
	call self
	call priorities
	call windows
	call halt
	call timer
	call errors
	call disabled
.none:	ret

; The hook counts and logs vectors, and ends the interrupt unless no_eoi is set
hook:	mov ecx, [n]
	mov eax, [exc_vec]
	mov [log + ecx * 4], eax
	mov eax, [exc_eip]
	mov [log_eip + ecx * 4], eax
	inc ecx
	and ecx, 15
	mov [n], ecx
	cmp dword [no_eoi], 0
	jne .end
	mov dword [APIC + EOI], 0
.end:	ret

registers:
	mov dword [APIC + SVR], 0xff	; firmware may have enabled it
	mov eax, [APIC + VER]
	and eax, 0xf0
	CHECK_EQ eax, 0x10
	mov eax, [APIC + SVR]
	CHECK_EQ eax, 0xff
	mov dword [APIC + LVT_TIMER], 0x20	; software-disabled: stays masked
	CHECK_EQ dword [APIC + LVT_TIMER], MASKED | 0x20
	mov dword [APIC + SVR], 0x1ff
	CHECK_EQ dword [APIC + SVR], 0x1ff
	mov dword [APIC + LVT_TIMER], 0x20020
	CHECK_EQ dword [APIC + LVT_TIMER], 0x20020
	mov dword [APIC + LVT_TIMER], MASKED
	mov dword [APIC + TPR], 0x35
	CHECK_EQ dword [APIC + TPR], 0x35
	CHECK_EQ dword [APIC + PPR], 0x35
	mov dword [APIC + TPR], 0
	mov dword [APIC + LDR], 0x01ffffff
	CHECK_EQ dword [APIC + LDR], 0x01000000
	mov dword [APIC + DFR], 0x0fffffff
	CHECK_EQ dword [APIC + DFR], 0x0fffffff
	mov dword [APIC + DFR], 0xffffffff
	CHECK_EQ dword [APIC + CURRENT], 0
	ret

self:
	mov dword [exc_hook], hook
	mov dword [n], 0
	SELF_IPI 0x55
	CHECK_EQ dword [APIC + IRR + 0x20], 1 << 0x15
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log], 0x55
	CHECK_EQ dword [APIC + IRR + 0x20], 0
	CHECK_EQ dword [APIC + ISR + 0x20], 0
	; by logical and physical destination, and to nobody
	mov dword [n], 0
	mov dword [APIC + ICR + 0x10], 0x01000000
	mov dword [APIC + ICR], 0x4856		; logical
	mov eax, [APIC + ID]
	mov [APIC + ICR + 0x10], eax
	mov dword [APIC + ICR], 0x4057		; physical
	mov dword [APIC + ICR + 0x10], 0x02000000
	mov dword [APIC + ICR], 0x4858		; logical, another
	mov dword [APIC + ICR], 0xc4059		; all but self
	mov dword [APIC + ICR], 0x8405a		; all
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 3
	CHECK_EQ dword [log], 0x5a		; highest first
	CHECK_EQ dword [log + 4], 0x57
	CHECK_EQ dword [log + 8], 0x56
	; NMI to self
	mov dword [n], 0
	mov dword [no_eoi], 1
	SELF_IPI 0x400			; not by this shorthand
	nop
	CHECK_EQ dword [n], 0
	mov eax, [APIC + ID]
	mov [APIC + ICR + 0x10], eax
	mov dword [APIC + ICR], 0x4400
	nop
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log], 2
	mov dword [no_eoi], 0
	ret

priorities:
	mov dword [n], 0
	mov dword [no_eoi], 1
	mov dword [APIC + TPR], 0x50
	SELF_IPI 0x51			; same class as TPR: waits
	sti
	nop
	nop
	CHECK_EQ dword [n], 0
	mov dword [APIC + TPR], 0x4f
	nop
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [APIC + PPR], 0x50
	CHECK_EQ dword [APIC + ISR + 0x20], 1 << 0x11
	SELF_IPI 0x5f			; same class as what is in service
	SELF_IPI 0x61
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 2
	CHECK_EQ dword [log + 4], 0x61
	CHECK_EQ dword [APIC + PPR], 0x60
	mov dword [APIC + EOI], 0	; ends 61h
	CHECK_EQ dword [APIC + PPR], 0x50
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 2
	mov dword [APIC + EOI], 0	; ends 51h
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 3
	CHECK_EQ dword [log + 8], 0x5f
	mov dword [APIC + EOI], 0
	mov dword [APIC + TPR], 0
	mov dword [no_eoi], 0
	CHECK_EQ dword [APIC + PPR], 0
	ret

windows:
	; nothing comes between STI and the end of the next instruction
	mov dword [n], 0
	SELF_IPI 0x40
	sti
.i1:	nop
.i2:	nop
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i2
	mov dword [n], 0
	SELF_IPI 0x40
	sti
	cli			; not even then
	nop
	CHECK_EQ dword [n], 0
	; MOV SS, POP SS
	mov ax, ss
	push ss
	pushfd
	or dword [esp], 0x200
	pop ebx
	push ebx
	popfd			; no shadow: comes at once
.i3:	nop
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i3
	mov dword [n], 0
	sti
	nop
	SELF_IPI 0x41		; comes behind this instruction
.i4:	mov ss, ax
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i4
	mov dword [n], 0
	SELF_IPI 0x42
	sti			; STI's shadow covers MOV SS, whose own covers the next
.i5:	mov ss, ax
.i6:	nop
.i7:	nop
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i7
	mov dword [n], 0
	SELF_IPI 0x43
	sti
.i8:	pop ss
.i9:	nop
.i10:	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i10
	; IRET has no shadow
	mov dword [n], 0
	SELF_IPI 0x44
	push dword 0x202
	push dword CODE32
	push dword .i11
	iretd
.i11:	nop
	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i11
	ret

halt:
	mov dword [n], 0
	SELF_IPI 0x45
	sti
	hlt			; the interrupt that waits ends it
.i1:	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log_eip], .i1
	mov dword [n], 0
	mov dword [APIC + DIVIDE], 0xb
	mov dword [APIC + LVT_TIMER], 0x46
	mov dword [APIC + INITIAL], 100000
	sti
	hlt
.i2:	cli
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log], 0x46
	CHECK_EQ dword [log_eip], .i2
	CHECK_EQ dword [APIC + CURRENT], 0
	ret

timer:
	; periodic
	mov dword [n], 0
	mov dword [APIC + LVT_TIMER], 0x20047
	mov dword [APIC + INITIAL], 20000
	sti
.wait:	cmp dword [n], 3
	jb .wait
	cli
	mov dword [APIC + INITIAL], 0
	CHECK_EQ dword [log + 8], 0x47
	CHECK_EQ dword [APIC + CURRENT], 0
	; masked: it counts but is silent
	mov dword [n], 0
	mov dword [APIC + LVT_TIMER], MASKED | 0x47
	mov dword [APIC + INITIAL], 100
	mov ecx, 2000
	sti
.spin:	loop .spin
	cli
	CHECK_EQ dword [n], 0
	CHECK_EQ dword [APIC + CURRENT], 0
	mov dword [APIC + LVT_TIMER], 0x47	; what passed while masked does not come later
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 0
	; the count goes down, slower with a larger divisor
	mov dword [APIC + LVT_TIMER], MASKED
	mov dword [APIC + INITIAL], 0xffffffff
	mov ecx, 1000
.s1:	loop .s1
	mov ebx, 0xffffffff
	sub ebx, [APIC + CURRENT]
	mov dword [APIC + DIVIDE], 0xa	; 128
	mov dword [APIC + INITIAL], 0xffffffff
	mov ecx, 1000
.s2:	loop .s2
	mov edx, 0xffffffff
	sub edx, [APIC + CURRENT]
	ONLY_HERE .other
	; 1 GHz and no other clock in the way: the quotient is 128, but for rounding
	mov eax, ebx
	shr eax, 7
	sub eax, edx
	add eax, 1
	cmp eax, 3
	sbb eax, eax
	CHECK_EQ eax, -1
.other:	cmp edx, ebx
	sbb eax, eax
	CHECK_EQ eax, -1
	mov dword [APIC + INITIAL], 0
	mov dword [APIC + DIVIDE], 0xb
	ret

errors:
	mov dword [APIC + ESR], 0
	mov dword [APIC + ESR], 0
	CHECK_EQ dword [APIC + ESR], 0
	mov dword [APIC + LVT_ERROR], 0x48
	mov dword [n], 0
	SELF_IPI 5			; an illegal vector
	sti
	nop
	nop
	cli
	ONLY_HERE .end			; others set one or the other bit
	CHECK_EQ dword [n], 1
	CHECK_EQ dword [log], 0x48
	CHECK_EQ dword [APIC + ESR], 0	; not before it is written
	mov dword [APIC + ESR], 0
	CHECK_EQ dword [APIC + ESR], 0x20
	mov dword [APIC + ESR], 0
	CHECK_EQ dword [APIC + ESR], 0
.end:	mov dword [APIC + LVT_ERROR], MASKED
	ret

disabled:
	SELF_IPI 0x49
	mov dword [n], 0
	mov dword [APIC + SVR], 0xff	; software-disabled: pending ones wait
	CHECK_EQ dword [APIC + LVT_TIMER], MASKED
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 0
	mov dword [APIC + SVR], 0x1ff
	sti
	nop
	nop
	cli
	CHECK_EQ dword [n], 1
	mov dword [exc_hook], 0
	ONLY_HERE .end
	; globally: CPUID no longer shows it
	mov ecx, 0x1b
	rdmsr
	and eax, ~0x800
	wrmsr
	mov eax, 1
	cpuid
	and edx, 1 << 9
	CHECK_EQ edx, 0
	mov ecx, 0x1b
	rdmsr
	or eax, 0x800
	wrmsr
	CHECK_EQ dword [APIC + SVR], 0xff
	mov eax, 0xfee00c00		; reserved bits
	or eax, 1
	FAULTS EXC_GP, 0, wrmsr
.end:	ret

	section .data
	align 4
n:	dd 0
no_eoi:	dd 0
log:	times 16 dd 0
log_eip: times 16 dd 0

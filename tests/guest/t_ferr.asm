; SPDX-License-Identifier: GPL-2.0-or-later
; FPU errors the way of the PC AT: CR0.NE = 0, FERR#, IRQ 13 of the 8259s, port F0h, IGNNE#. SDM vol. 1, appendix D; 82371AB 4.2.7.
; Needs a whole machine: run_guest has no 8259.
%define TEST_NAME "t_ferr"
%include "lib.inc"

%define IRQ0_VEC	0x70
%define IRQ13_VEC	0x7d
%define CR0_NE		0x20
%define SW_ES		0x80
%define CW_ZM_CLEAR	0x037b		; division by zero is unmasked

	section .bss
irqs:	resd 1			; IRQ 13s since CLEAR_IRQS
others:	resd 1			; other vectors
irq_eip: resd 1
handler: resd 1
ignored: resd 1			; waiting instructions that executed under IGNNE#
saved_sw: resd 1

	section .data
cw:	dw CW_ZM_CLEAR

	section .text

; 1 / 0: leaves FERR# asserted
%macro DIVIDE 0
	fninit
	fldcw [cw]
	fld1
	fldz
	fdivp st1
%endmacro

%macro CLEAR_IRQS 1		; handler
	mov dword [irqs], 0
	mov dword [others], 0
	mov dword [ignored], 0
	mov dword [handler], %1
%endmacro

; The interrupt's way from lib.inc
hook:	mov eax, [exc_vec]
	cmp eax, IRQ13_VEC
	je .irq13
	inc dword [others]
	ret
.irq13:	inc dword [irqs]
	mov eax, [exc_eip]
	mov [irq_eip], eax
	cmp dword [irqs], 8	; it does not end
	ja .stuck
	jmp [handler]
.stuck:	fninit
	CHECK_EQ dword [irqs], 1
	mov dword [exc_hook], 0
	mov esp, stack0_top
	jmp test_end

eoi:	mov al, 0x20
	out 0xa0, al
	out 0x20, al
	ret

; As an AT's BIOS: port F0h, EOI, then the status is cleared. Nothing is asked of devices between that and the next error.
handle_ignne:
	xor al, al
	out 0xf0, al
	call eoi
	fnstsw ax
	mov [saved_sw], ax
	fld1			; waiting, interrupts off: stands still for ever without IGNNE#
	fstp st0
	fwait
	inc dword [ignored]
	fnclex
	ret

; The status first: FERR# is gone when port F0h is written, so IGNNE# stays off
handle_clear_first:
	fnclex
	xor al, al
	out 0xf0, al
	jmp eoi

; Reads IRR of the slave; the request tells devices of FERR#
%macro SLAVE_IRR 0
	mov al, 0x0a
	out 0xa0, al
	in al, 0xa0
	in al, 0xa0
	movzx eax, al
	and eax, 0x20
%endmacro

init_pic:
	mov al, 0x11
	out 0x20, al
	out 0xa0, al
	mov al, IRQ0_VEC
	out 0x21, al
	mov al, IRQ0_VEC + 8
	out 0xa1, al
	mov al, 4
	out 0x21, al
	mov al, 2
	out 0xa1, al
	mov al, 1
	out 0x21, al
	out 0xa1, al
	mov al, 0xfb		; the cascade, IRQ 13
	out 0x21, al
	mov al, 0xdf
	out 0xa1, al
	ret

; The interrupt comes at the waiting instruction, which is done after it
test_freeze:
	CLEAR_IRQS handle_ignne
	DIVIDE
	sti
	nop
.wait:	fwait
	cli
	CHECK_EQ dword [irqs], 1
	CHECK_EQ dword [others], 0
	CHECK_EQ dword [ignored], 1
	ONLY_HERE .not_eip
	CHECK_EQ dword [irq_eip], .wait
.not_eip:
	mov eax, [saved_sw]
	and eax, SW_ES | 4
	CHECK_EQ eax, SW_ES | 4
	fnstsw ax
	and eax, 0xff
	CHECK_EQ eax, 0
	ret

; Each error is an interrupt, however the last one was handled
test_again:
	CLEAR_IRQS handle_ignne
	mov ecx, 3
.ignne:	DIVIDE
	sti
	nop
	fld1			; an ESC, too, and it is done after the interrupt
	cli
	fnstsw ax
	and eax, 0x3800
	CHECK_EQ eax, 0x2800	; TOP: two operands, this 1
	loop .ignne
	CHECK_EQ dword [irqs], 3
	CHECK_EQ dword [ignored], 3
	CLEAR_IRQS handle_clear_first
	mov ecx, 3
.clear:	DIVIDE
	sti
	nop
	fwait
	cli
	loop .clear
	CHECK_EQ dword [irqs], 3
	CHECK_EQ dword [others], 0
	ret

; Interrupts off: the level is seen in IRR of the slave; port F0h takes it away, and IGNNE# lasts as long as the error
test_polled:
	CLEAR_IRQS handle_ignne
	fninit
	SLAVE_IRR
	CHECK_EQ eax, 0
	DIVIDE
	SLAVE_IRR
	CHECK_EQ eax, 0x20
	xor al, al		; F1h does nothing to it
	out 0xf1, al
	SLAVE_IRR
	CHECK_EQ eax, 0x20
	out 0xf0, al
	SLAVE_IRR
	CHECK_EQ eax, 0
	fld1			; executes
	fstp st0
	fnstsw ax
	and eax, SW_ES
	CHECK_EQ eax, SW_ES
	fnclex
	SLAVE_IRR
	CHECK_EQ eax, 0
	; The next one is a new one
	DIVIDE
	SLAVE_IRR
	CHECK_EQ eax, 0x20
	; FERR# goes, the latch stays until port F0h is written
	fnclex
	SLAVE_IRR
	CHECK_EQ eax, 0x20
	xor al, al
	out 0xf0, al
	SLAVE_IRR
	CHECK_EQ eax, 0
	in al, 0xf0
	movzx eax, al
	CHECK_EQ eax, 0xff
	CHECK_EQ dword [irqs], 0
	ret

; CR0.NE = 1: #MF, and FERR# is nothing to the board
test_native:
	CLEAR_IRQS handle_ignne
	mov eax, cr0
	or eax, CR0_NE
	mov cr0, eax
	DIVIDE
	SLAVE_IRR
	CHECK_EQ eax, 0
	mov dword [exc_hook], 0
	FAULTS 16, -1, fwait
	mov dword [exc_hook], hook
	SLAVE_IRR
	CHECK_EQ eax, 0
	fninit
	CHECK_EQ dword [irqs], 0
	ret

; A posted port: reads give FF whatever was written
test_post:
	mov al, 0x5a
	out 0x80, al
	in al, 0x80
	movzx eax, al
	ONLY_HERE .out
	CHECK_EQ eax, 0xff
.out:	ret

test_main:
	mov eax, cr0
	and eax, ~(CR0_NE | 0xc)	; NE, EM, TS
	or eax, 2			; MP
	mov cr0, eax
	call init_pic
	mov dword [exc_hook], hook
	call test_freeze
	call test_again
	call test_polled
	call test_native
	call test_post
	mov al, 0xff
	out 0x21, al
	out 0xa1, al
	ret

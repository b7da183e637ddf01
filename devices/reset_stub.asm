; SPDX-License-Identifier: GPL-2.0-or-later
;
; What stands in for firmware when a kernel is booted directly: the last KiB of a 64 KiB ROM at F0000 and at the top of
; 4 GiB. It does what a kernel may rely on a PC's firmware to have done (interrupt controllers and counter in their PC
; state, A20 on, the PM block and PIRQ steering where the ACPI tables say, the local APIC in virtual wire mode, MTRRs), enters
; flat protected mode and jumps with the registers of the parameter block, which boot.c fills in.
;
; Intel SDM vol. 3: 9.9.1 (mode switch), 10.4.7 and 10.5.1 (local APIC), 11.11.8 (MTRR set-up). Boot state: Linux
; Documentation/x86/boot.rst "32-bit boot protocol"; Multiboot specification 0.6.96, 3.2.

	bits 16
	org 0xfc00

CODE	equ 0x10
DATA	equ 0x18

start:
	cli
	cld
	in al, 0x92		; A20 on
	or al, 2
	and al, 0xfe
	out 0x92, al

	mov al, 0x11		; both 8259s: ICW1 edge, cascade, ICW4 follows
	out 0x20, al
	out 0xa0, al
	mov al, 0x08
	out 0x21, al
	mov al, 0x70
	out 0xa1, al
	mov al, 4
	out 0x21, al
	mov al, 2
	out 0xa1, al
	mov al, 1
	out 0x21, al
	out 0xa1, al
	mov al, 0xfb		; all masked but the cascade
	out 0x21, al
	mov al, 0xff
	out 0xa1, al
	mov dx, 0x4d0		; IRQ 10 and 11 carry PCI interrupts: level
	xor al, al
	out dx, al
	inc dx
	mov al, 0x0c
	out dx, al

	mov al, 0x34		; 8254 counter 0: mode 2, 65536
	out 0x43, al
	xor al, al
	out 0x40, al
	out 0x40, al

	o32 lgdt [cs:gdt_ptr]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword CODE:0xf0000 + flat

	bits 32
flat:
	mov eax, DATA
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov gs, ax
	mov ss, ax
	mov esp, 0x7000

	mov dx, 0xcf8		; PIIX3 1:0, PIRQA-D to IRQ 10, 10, 11, 11
	mov eax, 0x80000860
	out dx, eax
	mov dx, 0xcfc
	mov eax, 0x0b0b0a0a
	out dx, eax
	mov dx, 0xcf8		; PIIX4 PM 1:3, base 600
	mov eax, 0x80000b40
	out dx, eax
	mov dx, 0xcfc
	mov eax, 0x601
	out dx, eax
	mov dx, 0xcf8		; PMREGMISC: decode it
	mov eax, 0x80000b80
	out dx, eax
	mov dx, 0xcfc
	mov al, 1
	out dx, al
	mov dx, 0xcf8		; its interrupt line
	mov eax, 0x80000b3c
	out dx, eax
	mov dx, 0xcfc
	mov al, 9
	out dx, al

	pushfd			; CPUID is there if EFLAGS.ID can be changed
	pop eax
	mov ecx, eax
	xor eax, 1 << 21
	push eax
	popfd
	pushfd
	pop eax
	xor eax, ecx
	test eax, 1 << 21
	jz go
	mov eax, 1
	cpuid
	test edx, 1 << 9
	jz .no_apic
	mov ebx, 0xfee00000	; virtual wire: LINT0 ExtINT, LINT1 NMI
	or dword [ebx + 0xf0], 0x100
	mov dword [ebx + 0x350], 0x700
	mov dword [ebx + 0x360], 0x400
.no_apic:
	test edx, 1 << 12
	jz go
	call mtrr_setup
go:
	mov eax, [0xf0000 + p_eax]
	mov ebx, [0xf0000 + p_ebx]
	mov ecx, [0xf0000 + p_ecx]
	mov edx, [0xf0000 + p_edx]
	mov esi, [0xf0000 + p_esi]
	mov edi, [0xf0000 + p_edi]
	mov ebp, [0xf0000 + p_ebp]
	jmp dword [0xf0000 + p_entry]

; RAM write-back by default, A0000-BFFFF uncacheable, C0000-FFFFF write-protected, the PCI hole at 3 GiB uncacheable
mtrr_setup:
	mov eax, 0x06060606
	mov edx, eax
	mov ecx, 0x250
	wrmsr
	mov ecx, 0x258
	wrmsr
	xor eax, eax
	xor edx, edx
	mov ecx, 0x259
	wrmsr
	mov eax, 0x05050505
	mov edx, eax
	mov ecx, 0x268
.next:
	wrmsr
	inc ecx
	cmp ecx, 0x270
	jb .next
	mov eax, 0xc0000000
	xor edx, edx
	mov ecx, 0x200
	wrmsr
	mov eax, 0xc0000800
	mov edx, 0xf
	mov ecx, 0x201
	wrmsr
	mov eax, 0xc06
	xor edx, edx
	mov ecx, 0x2ff
	wrmsr
	ret

	align 8
gdt:
	dq 0
	dq 0
	dq 0x00cf9b000000ffff	; flat code, accessed: the table is in ROM
	dq 0x00cf93000000ffff	; flat data
gdt_end:
gdt_ptr:
	dw gdt_end - gdt - 1
	dd 0xf0000 + gdt

	times 0xff00 - 0xfc00 - ($ - $$) db 0
; The parameter block: boot.c, struct stub_params.
p_entry:	dd 0
p_eax:		dd 0
p_ebx:		dd 0
p_ecx:		dd 0
p_edx:		dd 0
p_esi:		dd 0
p_edi:		dd 0
p_ebp:		dd 0

	times 0xfff0 - 0xfc00 - ($ - $$) db 0
	bits 16
	jmp 0xf000:start
	times 0xfff5 - 0xfc00 - ($ - $$) db 0
	db "01/02/26"
	db 0, 0xfc, 0

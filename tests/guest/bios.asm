; SPDX-License-Identifier: GPL-2.0-or-later
; A 128 KiB firmware image that copies a guest test (PAYLOAD, linked for 1 MiB) from ROM to RAM and starts it in flat
; protected mode, as a multiboot loader would.
	bits 16
	org 0

%define ROM_BASE 0xfffe0000
%define STUB     0x1f000

payload:
	incbin PAYLOAD
payload_end:
	times STUB - ($ - $$) db 0xff

stub:				; F000:F000, CS base FFFF0000
	cli
	o32 lgdt [cs:gdt_ptr - 0x10000]
	in al, 0x92		; A20 on
	or al, 2
	and al, 0xfe
	out 0x92, al
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword 8:ROM_BASE + stub32

	align 8
gdt:	dq 0
	dq 0x00cf9a000000ffff
	dq 0x00cf92000000ffff
gdt_ptr:
	dw 23
	dd ROM_BASE + gdt

	bits 32
stub32:
	mov ax, 16
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov gs, ax
	mov esp, 0x7000
	cld
	mov esi, ROM_BASE
	mov edi, 0x100000
	mov ecx, payload_end - payload
	rep movsb
	mov eax, 0x2badb002
	xor ebx, ebx
	mov ecx, [0x10000c]	; behind the multiboot header (lib.inc)
	jmp ecx

	times 0x1fff0 - ($ - $$) db 0xff
	bits 16
reset:	jmp strict near stub	; CS base stays FFFF0000h
	times 0x20000 - ($ - $$) db 0xff

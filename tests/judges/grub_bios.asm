; SPDX-License-Identifier: GPL-2.0-or-later
;
; Starts GRUB's i386-pc image from -kernel, where there is no disk and no PC BIOS: a multiboot kernel that holds
; GRUB's core image, brings the few BIOS services that GRUB asks for, and jumps to the core image in real mode as GRUB's own
; boot sector would. The multiboot module (-initrd) becomes the read-only disk 80h.
;
;	nasm -f bin -DCORE='"core.img"' -o grub.multiboot grub_bios.asm
;
; Services: INT 10h (nothing to see, but it answers), 11h, 12h, 13h (41h, 42h, 48h of disk 80h), 15h (E820), 16h (no
; key), 1Ah (ticks). Everything else says that it does not exist. Interrupts other than IRQ 0 stay masked.
;
; Multiboot 0.6.96; Enhanced Disk Drive Specification 3.0 for INT 13h; ACPI 6.4, section 15.1 for E820.

%define LOAD		0x200000	; where the multiboot loader places this file
%define BIOS_SEG	0x9c00		; services and their data, above all that GRUB uses
%define BIOS_KIB	(BIOS_SEG / 64)
%define CORE_GPA	0x8000		; GRUB's diskboot.img, which would read what follows it from a disk
%define MAX_E820	32
%define E820_RAM	1
%define E820_RESERVED	2
%define SMAP		0x534d4150
%define CF		1
%define ZF		0x40

	org LOAD
	bits 32

	align 4
header:
	dd 0x1badb002, 0x00010003, -(0x1badb002 + 0x00010003)
	dd header, LOAD, load_end, load_end, start

; ---- protected mode, from the multiboot loader ----

start:
	cli
	cld
	cmp eax, 0x2badb002
	jne dead
	mov esp, stack_top
	call keep_module
	call make_map
	mov esi, bios
	mov edi, BIOS_SEG * 16
	mov ecx, bios_len
	rep movsb
	mov esi, core
	mov edi, CORE_GPA
	mov ecx, core_len
	rep movsb
	lgdt [cs:gdt_pointer]
	jmp 0x08:low16 - bios

dead:
	hlt
	jmp dead

; The module goes to the top of the RAM at 1 MiB, out of the way of GRUB's decompressor. EBX: multiboot information.
keep_module:
	test dword [ebx], 8
	jz dead
	cmp dword [ebx + 20], 1
	jb dead
	mov esi, [ebx + 24]
	mov ecx, [esi + 4]	; end
	mov esi, [esi]		; begin
	sub ecx, esi
	call ram_top
	sub eax, ecx
	and eax, ~0xfff
	cmp eax, esi
	jb dead			; overlaps upwards only
	mov [disk_gpa], eax
	lea edx, [ecx + 511]
	shr edx, 9
	mov [disk_sectors], edx
	lea edi, [eax + ecx - 1]
	lea esi, [esi + ecx - 1]
	std
	rep movsb
	cld
	ret

; EAX = end of the RAM that begins at 1 MiB
ram_top:
	mov eax, [ebx + 8]
	shl eax, 10
	add eax, 0x100000
	ret

; The loader's map, its low RAM cut where the services lie, its high RAM where the disk lies
make_map:
	test dword [ebx], 0x40
	jz dead
	mov esi, [ebx + 48]
	mov ebp, [ebx + 44]
	add ebp, esi
	mov edi, e820
	xor ecx, ecx
.next:
	cmp esi, ebp
	jae .done
	cmp ecx, MAX_E820
	jae .done
	push esi
	push ecx
	add esi, 4
	mov ecx, 5
	rep movsd
	pop ecx
	pop esi
	cmp dword [edi - 4], E820_RAM
	jne .kept
	cmp dword [edi - 16], 0
	jne .kept
	cmp dword [edi - 20], 0
	jne .high
	mov dword [edi - 12], BIOS_SEG * 16
.high:
	cmp dword [edi - 20], 0x100000
	jne .kept
	mov eax, [disk_gpa]
	sub eax, 0x100000
	mov [edi - 12], eax
.kept:
	inc ecx
	add esi, [esi]
	add esi, 4
	jmp .next
.done:
	mov [e820_count], ecx
	ret

; ---- the services: real mode, CS = BIOS_SEG ----

	align 16
bios:
%define B(x) ((x) - bios)

	bits 16
low16:
	mov ax, 0x18
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov gs, ax
	mov eax, cr0
	and al, 0xfe
	mov cr0, eax
	jmp BIOS_SEG:B(real)
real:
	xor ax, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7c00
	mov ax, cs
	mov ds, ax
	lidt [B(real_idt)]
	; vectors: all to "nothing", the first PIC's to an EOI, then those that do something
	xor di, di
	mov cx, 256
.all:
	mov ax, B(nothing)
	cmp di, 8 * 4
	jb .plain
	cmp di, 16 * 4
	jae .plain
	mov ax, B(irq)
.plain:
	stosw
	mov ax, BIOS_SEG
	stosw
	loop .all
	mov si, B(vectors)
.some:
	lodsb
	test al, al
	jz .set
	movzx di, al
	shl di, 2
	lodsw
	stosw
	jmp .some
.set:
	mov dword [es:0x46c], 0
	mov al, 0xfe
	out 0x21, al
	mov al, 0xff
	out 0xa1, al
	xor ax, ax
	mov ds, ax
	mov dx, 0x80
	; past diskboot.img: what it would have loaded is there
	jmp 0:CORE_GPA + 512

vectors:
	db 0x08
	dw B(irq0)
	db 0x10
	dw B(int10)
	db 0x11
	dw B(int11)
	db 0x12
	dw B(int12)
	db 0x13
	dw B(int13)
	db 0x15
	dw B(int15)
	db 0x16
	dw B(int16)
	db 0x1a
	dw B(int1a)
	db 0

nothing:
	iret

irq0:
	push ds
	push word 0
	pop ds
	inc dword [0x46c]
	pop ds
irq:
	push ax
	mov al, 0x20
	out 0x20, al
	pop ax
	iret

; The ends of a service: they set or clear a flag in the caller's FLAGS.
%macro flags_or 1
	push bp
	mov bp, sp
	or byte [bp + 6], %1
	pop bp
	iret
%endmacro
%macro flags_clear 1
	push bp
	mov bp, sp
	and byte [bp + 6], ~%1
	pop bp
	iret
%endmacro

; Video: 80 columns, mode 3, cursor at 0; what is written vanishes.
int10:
	cmp ah, 0x0f
	je .mode
	cmp ah, 0x03
	je .cursor
	iret
.mode:
	mov ax, 0x5003
	mov bh, 0
	iret
.cursor:
	mov cx, 0x0607
	xor dx, dx
	iret

int11:
	mov ax, 0x0002
	iret

int12:
	mov ax, BIOS_KIB
	iret

int16:
	test ah, 0xef
	jz .wait
	cmp ah, 0x02
	je .shift
	flags_or ZF
.shift:
	mov al, 0
	iret
.wait:
	sti
	hlt
	jmp .wait

int1a:
	test ah, ah
	jnz no_service
	push ds
	push word 0
	pop ds
	mov dx, [0x46c]
	mov cx, [0x46e]
	pop ds
	mov al, 0
	flags_clear CF

no_service:
	mov ah, 0x86
	flags_or CF

int15:
	cmp ax, 0xe820
	jne no_service
	cmp edx, SMAP
	jne no_service
	cmp ecx, 20
	jb no_service
	cmp ebx, [cs:B(e820_count)]
	jae no_service
	push si
	push di
	push ds
	push cs
	pop ds
	imul si, bx, 20
	add si, B(e820)
	mov cx, 10
	rep movsw
	inc ebx
	cmp ebx, [B(e820_count)]
	jb .more
	xor ebx, ebx
.more:
	pop ds
	pop di
	pop si
	mov eax, SMAP
	mov ecx, 20
	flags_clear CF

; Disk 80h: as many sectors as the module has, no geometry
int13:
	cmp dl, 0x80
	jne .no
	cmp ah, 0x41
	je .check
	cmp ah, 0x42
	je .read
	cmp ah, 0x48
	je .parameters
	test ah, ah
	jz .good
.no:
	mov ah, 1
	flags_or CF
.check:
	mov bx, 0xaa55
	mov ax, 0x0100
	mov cx, 1
	flags_clear CF
.parameters:
	mov word [si], 26
	mov dword [si + 2], 0
	mov dword [si + 4], 0
	mov dword [si + 8], 0
	mov dword [si + 12], 0
	push eax
	mov eax, [cs:B(disk_sectors)]
	mov [si + 16], eax
	pop eax
	mov dword [si + 20], 0
	mov word [si + 24], 512
.good:
	mov ah, 0
	flags_clear CF
.read:
	pushad
	push es
	cld
	movzx ecx, word [si + 2]
	movzx edi, word [si + 4]
	movzx ebp, word [si + 6]
	shl ebp, 4
	add edi, ebp
	mov eax, [si + 8]
	cmp dword [si + 12], 0
	jne .beyond
	mov ebp, eax
	add ebp, ecx
	jc .beyond
	cmp ebp, [cs:B(disk_sectors)]
	ja .beyond
	shl eax, 9
	mov esi, [cs:B(disk_gpa)]
	add esi, eax
	shl ecx, 7
	; DS and ES with limits of 4 GiB for as long as the copy takes
	push ds
	cli
	lgdt [cs:B(gdt_pointer)]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp short .protected
.protected:
	mov bx, 0x10
	mov ds, bx
	mov es, bx
	and al, 0xfe
	mov cr0, eax
	jmp short .flat
.flat:
	xor bx, bx
	mov ds, bx
	mov es, bx
	a32 rep movsd
	pop ds
	pop es
	popad
	mov ah, 0
	flags_clear CF
.beyond:
	pop es
	popad
	mov ah, 4
	flags_or CF

	align 8
gdt:
	dq 0
	dq 0x00009b0000000000 | (((BIOS_SEG * 16) & 0xffffff) << 16) | 0xffff
	dq 0x00cf93000000ffff
	dq 0x000093000000ffff
gdt_pointer:
	dw 31
	dd BIOS_SEG * 16 + B(gdt)
real_idt:
	dw 0x3ff
	dd 0
disk_gpa: dd 0
disk_sectors: dd 0
e820_count: dd 0
e820:	times MAX_E820 * 20 db 0
bios_len equ $ - bios

	align 4
stack:	times 256 db 0
stack_top:

core:
	incbin CORE
core_len equ $ - core
	align 4
load_end:
